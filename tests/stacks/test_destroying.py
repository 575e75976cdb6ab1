"""A stack's destruction beside the engine: protection off, sweeps, bounded attempts. AWS is moto's."""

from typing import Any

import boto3
import pytest
from moto import mock_aws
from pulumi import automation as auto

from contracts.stack import StackSpec
from stacks.destroying import ATTEMPTS, protected_urns, stack_destroy
from stacks.sweeps import SWEEPS
from stacks.sweeps.aws import aws_sweep
from tests.stacks.placements import aws_placement, cloud_spec

REGION = "eu-central-1"


class Scripted:
    """A stack whose destroy fails as often as told. The engine's own behaviour is the engine tests' business."""

    def __init__(self, failures: int) -> None:
        self.failures, self.destroys, self.ups = failures, 0, list[list[str]]()

    def destroy(self, **_: Any) -> str:
        self.destroys += 1
        if self.destroys <= self.failures:
            raise auto.CommandError(_Result())  # type: ignore[arg-type]
        return "destroyed"

    def up(self, *, target: list[str], **_: Any) -> None:
        self.ups.append(target)


class _Result:
    stdout = stderr = "DependencyViolation"
    code = 255

    def __str__(self) -> str:
        return self.stderr


def destroyed(stack: Scripted, spec: StackSpec, resources: list[dict[str, Any]]) -> list[str]:
    told: list[str] = []
    specs: list[StackSpec] = []

    def stack_of(wanted: StackSpec) -> Any:
        specs.append(wanted)
        return stack

    stack_destroy(
        spec,
        stack_of=stack_of,
        resources_of=lambda: resources,
        on_event=lambda _: None,
        tell=told.append,
        canceled=lambda: False,
        refresh=False,
    )
    assert [wanted.teardown for wanted in specs] == ([True, False] if stack.ups else [False])
    return told


def resource(kind: str, name: str, **inputs: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:acme::freehold::{kind}::{name}", "type": kind, "inputs": inputs}


def test_only_what_is_protected_and_there_is_touched() -> None:
    database = resource("aws:rds/instance:Instance", "postgres", deletionProtection=True)
    bucket = resource("aws:s3/bucket:Bucket", "snapshots", forceDestroy=False)
    others = [
        resource("aws:ec2/vpc:Vpc", "network-vpc"),
        resource("aws:eks/cluster:Cluster", "cluster", deletionProtection=False),
    ]
    assert protected_urns([database, bucket, *others]) == [database["urn"], bucket["urn"]]
    assert protected_urns(others) == []


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the sweep of AWS finds, one call an entry."""
    found: list[str] = []
    monkeypatch.setitem(SWEEPS, "aws", lambda spec: [found.pop(0)] if found else [])
    return found


def test_protection_goes_before_the_stack_does(sweeps: list[str]) -> None:
    stack = Scripted(failures=0)
    database = resource("aws:rds/instance:Instance", "postgres", deletionProtection=True)
    told = destroyed(stack, cloud_spec("aws"), [database])
    assert stack.ups == [[database["urn"]]]
    assert told == ["Taking deletion protection off 1 resources before the stack is destroyed."]


def test_what_is_left_is_swept_and_the_destroy_tried_again(sweeps: list[str]) -> None:
    sweeps.append("network interface eni-1")
    stack = Scripted(failures=1)
    told = destroyed(stack, cloud_spec("aws"), [])
    assert stack.destroys == 2
    assert "network interface eni-1" in told[0]


def test_attempts_are_bounded_and_the_last_error_is_told(sweeps: list[str]) -> None:
    stack = Scripted(failures=99)
    with pytest.raises(auto.CommandError, match="DependencyViolation"):
        destroyed(stack, cloud_spec("aws"), [])
    assert stack.destroys == ATTEMPTS


def test_a_target_without_sweeps_is_destroyed_once() -> None:
    stack = Scripted(failures=1)
    with pytest.raises(auto.CommandError):
        destroyed(stack, cloud_spec("kubernetes"), [])
    assert stack.destroys == 1


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ec2", region_name=REGION)


def tags(**given: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in given.items()]


def spots(ec2: Any, **given: str) -> dict[str, str]:
    """One interface, group and volume with these tags."""
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    marks = tags(**given)

    def marked(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": marks}]

    interface = ec2.create_network_interface(SubnetId=subnet, TagSpecifications=marked("network-interface"))[
        "NetworkInterface"
    ]["NetworkInterfaceId"]
    group = ec2.create_security_group(
        GroupName=f"left-{vpc}", Description="x", VpcId=vpc, TagSpecifications=marked("security-group")
    )["GroupId"]
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=marked("volume"))[
        "VolumeId"
    ]
    return {"interface": interface, "group": group, "volume": volume}


def left(ec2: Any) -> set[str]:
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    volumes = ec2.describe_volumes()["Volumes"]
    return {
        *(each["NetworkInterfaceId"] for each in interfaces),
        *(each["GroupId"] for each in groups),
        *(each["VolumeId"] for each in volumes),
    }


def test_the_sweep_takes_what_controllers_left_of_this_tenant_alone(account: Any) -> None:
    mine = spots(account, **{"freehold:tenant": "acme", "cluster.k8s.amazonaws.com/name": "fh-acme"})
    made_by_eks = spots(
        account, **{"aws:eks:cluster-name": "fh-acme", "kubernetes.io/cluster/fh-acme": "owned"}
    )
    strangers = spots(account, **{"freehold:tenant": "globex", "cluster.k8s.amazonaws.com/name": "fh-globex"})

    removed = aws_sweep(cloud_spec("aws"))

    there = left(account)
    assert not there & {mine["interface"], mine["volume"], made_by_eks["interface"], made_by_eks["group"]}
    # A group with the tenant's own tag is the program's: Pulumi deletes it, in its order.
    assert mine["group"] in there
    assert set(strangers.values()) <= there
    assert len(removed) == 4
    assert aws_sweep(cloud_spec("aws")) == []


def test_the_sweep_of_a_customers_account_happens_there(account: Any) -> None:
    here = spots(account, **{"freehold:tenant": "acme"})
    place = aws_placement(
        account_id="999999999999", role_arn="arn:aws:iam::999999999999:role/freehold", external_id="acme-1"
    )
    assert aws_sweep(cloud_spec("aws", aws=place)) == []
    assert here["volume"] in left(account)
