"""Whether a thing that was being created exists: asked of AWS (moto) by names and tags, types of ours all covered."""

import json
from typing import Any

import boto3
import pytest
from moto import mock_aws

from contracts.planned import PlannedResource
from stacks.errors import InputInvalid
from stacks.finding import resource_finder
from stacks.finding.aws import IDEMPOTENT, LOOKS
from stacks.targets import target_program
from tests.stacks.monitor import registered
from tests.stacks.placements import cloud_secrets, cloud_spec

REGION = "eu-central-1"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def pending(resource: PlannedResource, **inputs: Any) -> dict[str, Any]:
    return {"type": resource.type, "urn": resource.urn, "inputs": {**(resource.after or {}), **inputs}}


@pytest.fixture(scope="module")
def planned() -> dict[str, PlannedResource]:
    found = registered(target_program(cloud_spec("aws"), cloud_secrets()))
    return {resource.name: resource for resource in found.resources}


def test_every_type_of_the_program_can_be_looked_up(planned: dict[str, PlannedResource]) -> None:
    kinds = {resource.type for resource in planned.values() if resource.type.startswith("aws:")}
    assert kinds <= set(LOOKS) | IDEMPOTENT, kinds - set(LOOKS) - IDEMPOTENT


def test_what_is_not_there_is_not_found(account: Any, planned: dict[str, PlannedResource]) -> None:
    find = resource_finder(cloud_spec("aws"))
    for name in (
        "network-vpc", "network-s3", "key", "key-alias", "network-flows", "nodes-role", "cluster", "postgres",
        "postgres-subnets", "cache", "cache-subnets", "snapshots", "nodes-gpu-template",
    ):  # fmt: skip
        assert find(pending(planned[name]), []) is None, name


def test_what_is_there_is_found_by_what_we_named_it(
    account: Any, planned: dict[str, PlannedResource]
) -> None:
    find = resource_finder(cloud_spec("aws"))

    def tags(name: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in (planned[name].after or {})["tags"].items()]

    def marked(kind: str, name: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags(name)}]

    ec2, iam, kms = account("ec2"), account("iam"), account("kms")
    vpc = ec2.create_vpc(CidrBlock="10.64.0.0/18", TagSpecifications=marked("vpc", "network-vpc"))["Vpc"][
        "VpcId"
    ]
    ec2.create_vpc(CidrBlock="10.65.0.0/18", TagSpecifications=[{"ResourceType": "vpc", "Tags": [
        {"Key": "Name", "Value": "fh-acme"}, {"Key": "freehold:tenant", "Value": "globex"}]}])  # fmt: skip
    assert find(pending(planned["network-vpc"]), []) == vpc

    subnets = {}
    for zone in ("eu-central-1a", "eu-central-1b"):
        name = f"network-subnet-{zone}"
        given = planned[name].after or {}
        subnets[name] = ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=given["cidrBlock"],
            AvailabilityZone=zone,
            TagSpecifications=marked("subnet", name),
        )["Subnet"]["SubnetId"]
    for name, identity in subnets.items():
        assert find(pending(planned[name]), []) == identity

    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=marked("route-table", "network-routes"))
    table_id = table["RouteTable"]["RouteTableId"]
    assert find(pending(planned["network-routes"]), []) == table_id
    known = {"routeTableId": table_id, "subnetId": subnets["network-subnet-eu-central-1a"]}
    link = planned["network-routes-eu-central-1a"]
    assert find(pending(link, **known), []) is None
    made = ec2.associate_route_table(RouteTableId=table_id, SubnetId=known["subnetId"])["AssociationId"]
    assert find(pending(link, **known), []) == made

    key = kms.create_key(Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags("key")])[
        "KeyMetadata"
    ]["KeyId"]
    assert find(pending(planned["key"]), []) == key
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert find(pending(planned["key"]), []) is None, "a key that is being deleted is no key"

    iam.create_role(RoleName="fh-acme-nodes", AssumeRolePolicyDocument=json.dumps({}))
    assert find(pending(planned["nodes-role"]), []) == "fh-acme-nodes"

    s3 = account("s3")
    bucket = (planned["snapshots"].after or {})["bucket"]
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    assert find(pending(planned["snapshots"]), []) == bucket

    ec2.create_launch_template(
        LaunchTemplateName="fh-acme-gpu", LaunchTemplateData={"InstanceType": "g6.xlarge"}
    )
    assert str(find(pending(planned["nodes-gpu-template"]), [])).startswith("lt-")


def test_databases_are_numbered_as_the_provider_numbers_them(
    account: Any, planned: dict[str, PlannedResource]
) -> None:
    rds = account("rds")
    made = rds.create_db_instance(
        DBInstanceIdentifier="fh-acme-postgres",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="freehold",
        MasterUserPassword="not-a-password",
    )["DBInstance"]
    found = resource_finder(cloud_spec("aws"))(pending(planned["postgres"]), [])
    assert found == made["DbiResourceId"] != "fh-acme-postgres"


def test_engines_own_and_unknown_things(planned: dict[str, PlannedResource]) -> None:
    find = resource_finder(cloud_spec("aws"))
    assert find({"type": "pulumi:providers:aws", "urn": "x"}, []) is None
    assert find({"type": "freehold:aws:Network", "urn": "x"}, []) is None
    with pytest.raises(InputInvalid, match="random:index/randomId:RandomId was created"):
        find({"type": "random:index/randomId:RandomId", "urn": "x"}, [])


def test_an_object_without_its_provider_in_the_state_cannot_be_told() -> None:
    find = resource_finder(cloud_spec("kubernetes"))
    wanted = {
        "type": "kubernetes:core/v1:ConfigMap",
        "urn": "urn:x",
        "inputs": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}},
        "provider": "urn:provider::id",
    }
    with pytest.raises(InputInvalid, match="does not hold the provider"):
        find(wanted, [])
