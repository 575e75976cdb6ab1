"""The leak scan of AWS against moto: what was planted is found service by service, what is gone or kept is told so."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from contracts.names import name_of
from contracts.placement import AwsPlacement
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.leaks import Scan, aws_looks, leaks_find, restless_find
from controlplane.tenants.leaks import aws as aws_scan
from controlplane.tenants.leaks.model import Leak, looks_run
from controlplane.tenants.lifecycle import TenantSubject
from controlplane.tenants.services import tenant_create
from controlplane.tenants.stack_spec import stack_spec_of
from controlplane.tenants.targets_file import TargetsFile
from embedded.ports import free_block
from tests.support.clouds import CUSTOMER, ROLE
from tests.support.people import Person

REGION = "eu-central-1"
#: Whose credentials moto takes any unknown key for.
HOME_ACCOUNT = "123456789012"
#: Calls that moto does not know; AWS does.
UNKNOWN_TO_MOTO = ("EC2 capacity reservation", "ElastiCache parameter group", "ElastiCache user group")
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A moto server's address, for as long as this module's tests run."""
    port = free_block(33_000, 34_000, 1)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"{url}/moto-api/data.json", timeout=2)
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "moto did not start"
                assert server.poll() is None, "moto ended"
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(autouse=True)
def aws(moto: str, monkeypatch: pytest.MonkeyPatch, clouds: TargetsFile, settings: Any) -> None:
    """An empty account behind the variables that every AWS library reads."""
    assert clouds.aws is not None
    at_moto = clouds.aws.model_copy(update={"account_id": HOME_ACCOUNT})
    settings.FREEHOLD_TARGETS_FILE = clouds.model_copy(update={"aws": at_moto})
    httpx.post(f"{moto}/moto-api/reset", timeout=20)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what moto cannot be asked."""
    looks = {name: look for name, look in aws_looks.LOOKS.items() if name not in UNKNOWN_TO_MOTO}
    monkeypatch.setattr(aws_scan, "LOOKS", looks)


@pytest.fixture
def spec(owner: Person) -> StackSpec:
    tenant, _ = tenant_create(
        principal=owner.principal, slug="acme", name="A", plan="pro", target="aws", now=clock.now()
    )
    return stack_spec_of(tenant, kind="deprovision")


def tags(slug: str = "acme") -> list[dict[str, str]]:
    return [{"Key": "freehold:tenant", "Value": slug}]


def ec2_tags(kind: str, slug: str = "acme") -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags(slug)}]


def plant(slug: str, session: boto3.Session | None = None) -> set[str]:
    """Makes one of many types for the tenant; the kinds by which the scan must name them."""
    at: Any = session or boto3.Session(region_name=REGION)
    ec2, iam, rds, cache = (at.client(name) for name in ("ec2", "iam", "rds", "elasticache"))
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=ec2_tags("vpc", slug))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.9.0.0/20", TagSpecifications=ec2_tags("subnet", slug)
    )["Subnet"]["SubnetId"]
    ec2.create_security_group(
        GroupName=f"g-{slug}", Description="d", VpcId=vpc, TagSpecifications=ec2_tags("security-group", slug)
    )
    ec2.create_network_interface(SubnetId=subnet, TagSpecifications=ec2_tags("network-interface", slug))
    ec2.allocate_address(TagSpecifications=ec2_tags("elastic-ip", slug))
    ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        TagSpecifications=ec2_tags("vpc-endpoint", slug),
    )
    ec2.create_launch_template(
        LaunchTemplateName=f"lt-{slug}",
        LaunchTemplateData={"InstanceType": "t3.micro"},
        TagSpecifications=ec2_tags("launch-template", slug),
    )
    # By the mark of the cluster alone, as the volume of a pod that was there before the storage class had tags.
    volume_tags = [{"Key": f"kubernetes.io/cluster/{name_of(slug)}", "Value": "owned"}]
    ec2.create_volume(
        Size=1,
        AvailabilityZone=f"{REGION}a",
        TagSpecifications=[{"ResourceType": "volume", "Tags": volume_tags}],
    )
    iam.create_role(RoleName=f"r-{slug}", AssumeRolePolicyDocument=TRUST, Tags=tags(slug))
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    iam.create_policy(PolicyName=f"p-{slug}", PolicyDocument=json.dumps(document), Tags=tags(slug))
    rds.create_db_instance(
        DBInstanceIdentifier=f"db-{slug}",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        MasterUsername="u",
        MasterUserPassword="password",
        AllocatedStorage=20,
        Tags=tags(slug),
    )
    rds.create_db_subnet_group(
        DBSubnetGroupName=f"s-{slug}", DBSubnetGroupDescription="d", SubnetIds=[subnet], Tags=tags(slug)
    )
    rds.create_db_parameter_group(
        DBParameterGroupName=f"p-{slug}",
        DBParameterGroupFamily="postgres17",
        Description="d",
        Tags=tags(slug),
    )
    cache.create_cache_subnet_group(
        CacheSubnetGroupName=f"c-{slug}", CacheSubnetGroupDescription="d", SubnetIds=[subnet], Tags=tags(slug)
    )
    at.client("kms").create_key(Tags=[{"TagKey": "freehold:tenant", "TagValue": slug}])
    bucket = f"bucket-{slug}"
    at.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    at.client("s3").put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags(slug)})
    at.client("secretsmanager").create_secret(Name=f"s-{slug}", SecretString="x", Tags=tags(slug))
    at.client("logs").create_log_group(logGroupName=f"/tagged/{slug}", tags={"freehold:tenant": slug})
    # As EKS makes it anew after the end: without tags.
    at.client("logs").create_log_group(logGroupName=f"/aws/eks/{name_of(slug)}/cluster")
    at.client("ecr").create_repository(repositoryName=f"e-{slug}", tags=tags(slug))
    at.client("eks").create_cluster(
        name=name_of(slug),
        roleArn=f"arn:aws:iam::{HOME_ACCOUNT}:role/r",
        resourcesVpcConfig={"subnetIds": [subnet]},
        tags={"freehold:tenant": slug},
    )
    at.client("sqs").create_queue(QueueName=f"q-{slug}", tags={"freehold:tenant": slug})
    return {
        *("VPC", "subnet", "security group", "network interface", "elastic IP", "VPC endpoint"),
        *("launch template", "volume", "IAM role", "IAM policy", "RDS instance", "RDS subnet group"),
        *("RDS parameter group", "ElastiCache subnet group", "KMS key", "S3 bucket", "secret", "log group"),
        *("ECR repository", "EKS cluster", "resource"),
    }


def scanned(spec: StackSpec) -> Scan:
    return leaks_find(spec, alive=lambda: None)


@pytest.mark.usefixtures("known")
def test_what_was_planted_is_named_in_every_service_and_only_this_tenants(spec: StackSpec) -> None:
    assert scanned(spec).leaks == []
    kinds = plant("acme")
    mine = scanned(spec)
    assert mine.failures == []
    assert {leak.kind for leak in mine.leaks} == kinds
    assert sum(leak.kind == "log group" for leak in mine.leaks) == 2
    assert len(mine.leaks) == len(set(mine.leaks))
    # One whose slug begins alike is somebody else.
    plant("acme-two")
    assert set(scanned(spec).leaks) == set(mine.leaks)


@pytest.mark.usefixtures("known")
def test_what_aws_lists_after_its_end_is_no_leak(spec: StackSpec) -> None:
    ec2: Any = boto3.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, TagSpecifications=ec2_tags("natgateway"))["NatGateway"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    machine = ec2.run_instances(
        ImageId=image,
        InstanceType="g6.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=ec2_tags("instance"),
    )["Instances"][0]["InstanceId"]
    key = boto3.client("kms").create_key(Tags=[{"TagKey": "freehold:tenant", "TagValue": "acme"}])[
        "KeyMetadata"
    ]
    secret: Any = boto3.client("secretsmanager")
    secret.create_secret(Name="s", SecretString="x", Tags=tags())
    assert {"NAT gateway", "machine", "KMS key", "secret"} <= {leak.kind for leak in scanned(spec).leaks}
    assert [leak.id for leak in restless_find(spec, alive=lambda: None).leaks] == [machine]

    ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
    ec2.terminate_instances(InstanceIds=[machine])
    boto3.client("kms").schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    secret.delete_secret(SecretId="s")
    left = {leak.kind for leak in scanned(spec).leaks}
    assert left.isdisjoint({"NAT gateway", "machine", "KMS key", "secret"})
    assert restless_find(spec, alive=lambda: None).leaks == []


@pytest.mark.usefixtures("known")
def test_a_final_snapshot_is_kept_and_told(spec: StackSpec) -> None:
    rds: Any = boto3.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="db",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        MasterUsername="u",
        MasterUserPassword="password",
        AllocatedStorage=20,
        CopyTagsToSnapshot=True,
        Tags=tags(),
    )
    rds.delete_db_instance(DBInstanceIdentifier="db", FinalDBSnapshotIdentifier="db-final")
    verification = verified(spec)
    assert verification.ok, verification.detail
    assert "Kept on purpose: RDS snapshot db-final." in verification.detail


def verified(spec: StackSpec, kind: str = "deprovision") -> Any:
    operation = Operation.objects.get()
    operation.kind, operation.spec = kind, spec.model_dump(mode="json")
    return TenantSubject().verify(operation=operation, alive=lambda: None)


@pytest.mark.usefixtures("known")
def test_the_deletion_names_what_is_left(spec: StackSpec) -> None:
    boto3.client("ecr").create_repository(repositoryName="forgotten", tags=tags())  # type: ignore[call-overload]
    verification = verified(spec)
    assert (verification.ok, verification.code) == (False, "leak_found")
    assert verification.detail == "1 things of acme are left: ECR repository forgotten."


def test_a_service_that_does_not_answer_is_never_taken_for_nothing_there(spec: StackSpec) -> None:
    # Moto does not know these calls, and answers with what is no answer of AWS.
    verification = verified(spec)
    assert (verification.ok, verification.code) == (False, "leak_scan_undecided")
    for name in UNKNOWN_TO_MOTO:
        assert f"{name}: " in verification.detail
    # What others said counts all the same.
    boto3.client("ecr").create_repository(repositoryName="forgotten", tags=tags())  # type: ignore[call-overload]
    found = verified(spec)
    assert found.code == "leak_found"
    assert "ECR repository forgotten" in found.detail
    assert "Not asked: " in found.detail


def test_without_credentials_or_in_another_account_nothing_is_claimed(
    spec: StackSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spec.aws is not None
    elsewhere = spec.aws.model_copy(update={"account_id": "999988887777"})
    scan = scanned(spec.model_copy(update={"aws": elsewhere}))
    assert scan.failures == [
        f"sign-in: signed in to the account {HOME_ACCOUNT}, but the tenant is in 999988887777"
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert scanned(spec).failures[0].startswith("sign-in: Could not connect")
    assert verified(spec).code == "leak_scan_undecided"


@pytest.mark.usefixtures("known")
def test_in_the_customers_account_the_scan_acts_by_its_role(spec: StackSpec) -> None:
    given: Any = boto3.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="test", ExternalId="x1")
    keys = given["Credentials"]
    there = boto3.Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=REGION,
    )
    boto3.client("ecr").create_repository(repositoryName="at-home", tags=tags())  # type: ignore[call-overload]
    kinds = plant("acme", there)
    assert spec.aws is not None
    place: AwsPlacement = spec.aws.model_copy(
        update={"account_id": CUSTOMER, "role_arn": ROLE, "external_id": "x1"}
    )
    scan = scanned(spec.model_copy(update={"aws": place}))
    assert scan.failures == []
    assert {leak.kind for leak in scan.leaks} == kinds
    assert "at-home" not in {leak.id for leak in scan.leaks}


def test_a_look_that_hangs_costs_the_deadline_and_leaves_the_scan_undecided() -> None:
    released, signs = threading.Event(), []

    def hanging() -> Iterator[Leak]:
        released.wait(30)
        yield Leak("late", "1")

    looks = {"slow": hanging, "quick": lambda: [Leak("VPC", "vpc-1")]}
    begun = time.monotonic()
    scan = looks_run(looks, deadline_s=1.5, alive=lambda: signs.append(1), failure=str)
    released.set()
    assert time.monotonic() - begun < 10
    assert scan.failures == ["slow: no answer within 1.5 s"]
    assert (scan.leaks, scan.asked) == ([Leak("VPC", "vpc-1")], ["quick"])
    assert signs
