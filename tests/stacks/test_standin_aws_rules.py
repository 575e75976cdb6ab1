"""What the stand-in for AWS refuses where moto would not, what it mends of moto, and whom it lets in."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_account import ACCOUNT_ID, REGION, AwsAccounts
from tests.support.providers.aws.account import Account, settings_read
from tests.support.providers.aws.kubeconfig import KUBECONFIG_VARIABLE
from tests.support.providers.aws.provider import handler_of, input_failures
from tests.support.providers.aws.types import HANDLERS, PROVEN_BY
from tests.support.providers.serving import Refused

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

TAGS = {"freehold:tenant": "acme"}
Make = Callable[..., str]


@pytest.fixture
def account(aws_accounts: AwsAccounts, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in aws_accounts.environment.items():
        monkeypatch.setenv(name, value)
    return Account.configured({"region": REGION})


@pytest.fixture
def make(account: Account) -> Make:
    def of_type(resource_type: str, **inputs: Any) -> str:
        handler = handler_of(resource_type)
        assert input_failures(handler, inputs) == []
        return handler.create(account, {**inputs, "tagsAll": TAGS} if handler.TAGGED else inputs)

    return of_type


@pytest.fixture
def delete(account: Account) -> Callable[..., None]:
    def of_type(resource_type: str, identifier: str, **state: Any) -> None:
        handler_of(resource_type).delete(account, identifier, state)
        assert handler_of(resource_type).read(account, identifier, state) is None

    return of_type


VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
KEY = "aws:kms/key:Key"
ROLE = "aws:iam/role:Role"
CLUSTER = "aws:eks/cluster:Cluster"
NODES = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
POD_IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
DB = "aws:rds/instance:Instance"
DB_SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
DB_PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
CACHE_SUBNETS = "aws:elasticache/subnetGroup:SubnetGroup"
CACHE_USER = "aws:elasticache/user:User"
CACHE_USERS = "aws:elasticache/userGroup:UserGroup"
BUCKET = "aws:s3/bucket:Bucket"


@pytest.fixture
def vpc(make: Make) -> str:
    return make(VPC, cidrBlock="10.20.0.0/16")


@pytest.fixture
def subnets(make: Make, vpc: str) -> list[str]:
    return [
        make(SUBNET, vpcId=vpc, cidrBlock=f"10.20.{number}.0/24", availabilityZone=f"{REGION}{zone}")
        for number, zone in enumerate("ab")
    ]


def trust(service: str, **statement: Any) -> str:
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def role_arn(make: Make, name: str, service: str) -> str:
    make(ROLE, name=name, assumeRolePolicy=trust(service))
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"


@pytest.fixture
def cluster(make: Make, subnets: list[str]) -> str:
    return make(
        CLUSTER,
        name="acme",
        version="1.33",
        roleArn=role_arn(make, "cluster", "eks.amazonaws.com"),
        vpcConfig={"subnetIds": subnets, "endpointPrivateAccess": True},
        accessConfig={"authenticationMode": "API"},
    )


def node_group(make: Make, subnets: list[str], **inputs: Any) -> str:
    given = {
        "clusterName": "acme",
        "nodeGroupName": "gpu",
        "nodeRoleArn": role_arn(make, "node", "ec2.amazonaws.com"),
        "subnetIds": subnets,
        "scalingConfig": {"minSize": 0, "desiredSize": 1, "maxSize": 2},
    }
    return make(NODES, **(given | inputs))


def database(make: Make, subnets: list[str], **inputs: Any) -> str:
    group = make(DB_SUBNETS, name="db", subnetIds=subnets)
    parameters = make(DB_PARAMETERS, name="db", family="postgres16")
    return make(
        DB,
        identifier="acme-db",
        engine="postgres",
        engineVersion="16.4",
        instanceClass="db.t4g.medium",
        allocatedStorage=20,
        username="owner",
        manageMasterUserPassword=True,
        dbSubnetGroupName=group,
        parameterGroupName=parameters,
        **inputs,
    )


def test_every_type_says_what_proves_it() -> None:
    assert PROVEN_BY.keys() == HANDLERS.keys()
    assert {name for name, proof in PROVEN_BY.items() if proof == "stand-in store"} == {
        "aws:ec2/capacityReservation:CapacityReservation",
        "aws:eks/accessEntry:AccessEntry",
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        ADDON,
        POD_IDENTITY,
        CACHE_SUBNETS,
        "aws:elasticache/parameterGroup:ParameterGroup",
        CACHE_USER,
        CACHE_USERS,
    }


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(Refused, match="does not know the type aws:sqs/queue:Queue"):
        handler_of("freehold:aws:Network$aws:sqs/queue:Queue")
    failures = input_failures(HANDLERS[VPC], {"cidrBlock": "10.0.0.0/16", "ipv6CidrBlock": "::/56"})
    assert [(failure.property, failure.reason) for failure in failures] == [
        ("ipv6CidrBlock", "the stand-in does not handle ipv6CidrBlock of aws:ec2/vpc:Vpc")
    ]


@pytest.mark.parametrize(
    ("resource_type", "inputs", "field"),
    [
        (VPC, {"cidrBlock": "10.0.0.0/8"}, "cidrBlock"),
        (VPC, {"cidrBlock": "10.0.0.1/16"}, "cidrBlock"),
        (SUBNET, {"cidrBlock": "10.0.0.0/24"}, "vpcId"),
        (
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 1, "toPort": 99999},
            "toPort",
        ),
        (ENDPOINT, {"vpcId": "vpc-1", "serviceName": "s3"}, "serviceName"),
        ("aws:cloudwatch/logGroup:LogGroup", {"name": "x", "retentionInDays": 31}, "retentionInDays"),
        (KEY, {"deletionWindowInDays": 3}, "deletionWindowInDays"),
        (ROLE, {"name": "a b!c", "assumeRolePolicy": trust("ec2.amazonaws.com")}, "name"),
        (ROLE, {"name": "a", "assumeRolePolicy": "not json"}, "assumeRolePolicy"),
        (CLUSTER, {"name": "a", "roleArn": "r", "vpcConfig": {}, "version": "9.99.1"}, "version"),
        (DB, {"identifier": "Upper", "engine": "postgres", "instanceClass": "db.t4g.small"}, "identifier"),
        (DB, {"identifier": "a", "engine": "postgres", "instanceClass": "t4g.small"}, "instanceClass"),
        (CACHE, {"replicationGroupId": "a", "description": "a", "nodeType": "t4g"}, "nodeType"),
        (
            CACHE,
            {
                "replicationGroupId": "a",
                "description": "a",
                "numCacheClusters": 1,
                "automaticFailoverEnabled": True,
            },
            "automaticFailoverEnabled",
        ),
        (
            CACHE_USER,
            {
                "userId": "a",
                "userName": "a",
                "engine": "valkey",
                "accessString": "on",
                "passwords": ["short"],
            },
            "passwords",
        ),
        (BUCKET, {"bucket": "Upper_Case"}, "bucket"),
    ],
)
def test_check_names_the_field(resource_type: str, inputs: dict[str, Any], field: str) -> None:
    assert field in [failure.property for failure in input_failures(HANDLERS[resource_type], inputs)]


def test_a_node_group_is_checked() -> None:
    inputs = {
        "clusterName": "acme",
        "nodeGroupName": "gpu",
        "nodeRoleArn": "r",
        "subnetIds": ["subnet-1"],
        "scalingConfig": {"minSize": 3, "desiredSize": 1, "maxSize": 2},
        "amiType": "AL2023_NVIDIA",
        "taints": [{"key": "gpu", "effect": "NoSchedule"}],
        "diskSize": 20,
        "launchTemplate": {"id": "lt-1", "version": "1"},
    }
    failures = input_failures(HANDLERS[NODES], inputs)
    assert {failure.property for failure in failures} == {"scalingConfig", "amiType", "taints", "diskSize"}


def test_a_network_is_taken_down_from_the_inside(
    make: Make, delete: Callable[..., None], vpc: str, subnets: list[str]
) -> None:
    group = make(GROUP, name="data", vpcId=vpc)
    endpoint = make(
        ENDPOINT,
        vpcId=vpc,
        serviceName=f"com.amazonaws.{REGION}.sts",
        vpcEndpointType="Interface",
        subnetIds=subnets,
        securityGroupIds=[group],
    )
    with pytest.raises(Refused, match=f"DependencyViolation: the subnet .* VPC endpoint {endpoint}"):
        delete(SUBNET, subnets[0])
    with pytest.raises(Refused, match=f"DependencyViolation: resource {group} .* VPC endpoint {endpoint}"):
        delete(GROUP, group)
    delete(ENDPOINT, endpoint)
    with pytest.raises(Refused, match=f"DependencyViolation: the vpc {vpc} .* security group {group}"):
        delete(VPC, vpc)
    delete(GROUP, group)
    for subnet in subnets:
        delete(SUBNET, subnet)
    delete(VPC, vpc)


def test_a_group_that_another_names_stays(make: Make, delete: Callable[..., None], vpc: str) -> None:
    one, other = (make(GROUP, name=name, vpcId=vpc) for name in ("one", "other"))
    rule_type = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    rule = make(rule_type, securityGroupId=other, ipProtocol="-1", referencedSecurityGroupId=one)
    with pytest.raises(Refused, match=f"DependencyViolation: resource {one} .* security group {other}"):
        delete(GROUP, one)
    delete(rule_type, rule, securityGroupId=other)
    delete(GROUP, one)


def test_a_route_to_a_transit_gateway_needs_its_attachment(
    make: Make, delete: Callable[..., None], account: Account, vpc: str, subnets: list[str]
) -> None:
    gateway = account.client("ec2").create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    table = make("aws:ec2/routeTable:RouteTable", vpcId=vpc)
    route = {"routeTableId": table, "destinationCidrBlock": "10.200.0.0/16", "transitGatewayId": gateway}
    with pytest.raises(Refused, match=f"{vpc} is not attached to {gateway}"):
        make("aws:ec2/route:Route", **route)
    attachment_type = "aws:ec2transitgateway/vpcAttachment:VpcAttachment"
    attachment = make(attachment_type, transitGatewayId=gateway, vpcId=vpc, subnetIds=subnets)
    seen = HANDLERS[attachment_type].read(account, attachment, {})
    assert seen is not None
    assert seen["tagsAll"] == TAGS
    there = make("aws:ec2/route:Route", **route)
    with pytest.raises(Refused, match=f"DependencyViolation: .* transit gateway attachment {attachment}"):
        delete(SUBNET, subnets[0])
    delete("aws:ec2/route:Route", there)
    delete(attachment_type, attachment)


def test_a_cluster_goes_last(
    make: Make, delete: Callable[..., None], account: Account, cluster: str, subnets: list[str]
) -> None:
    template = make(TEMPLATE, name="gpu", instanceType="g6.xlarge")
    nodes = node_group(make, subnets, launchTemplate={"id": template, "version": "1"})
    addon = make(ADDON, clusterName=cluster, addonName="vpc-cni")
    identity = make(
        POD_IDENTITY,
        clusterName=cluster,
        namespace="tenant",
        serviceAccount="runtime",
        roleArn=role_arn(make, "pod", "pods.eks.amazonaws.com"),
    )
    with pytest.raises(Refused, match=r"the launch template .* is in use: EKS node group gpu"):
        delete(TEMPLATE, template, name="gpu")
    with pytest.raises(
        Refused, match=r"DependencyViolation: the subnet .* EKS cluster acme, EKS node group gpu"
    ):
        delete(SUBNET, subnets[0])
    with pytest.raises(Refused, match="node group gpu, add-on acme:vpc-cni, pod identity association"):
        delete(CLUSTER, cluster)
    for resource_type, identifier in ((NODES, nodes), (ADDON, addon), (POD_IDENTITY, identity)):
        delete(resource_type, identifier)
    delete(TEMPLATE, template, name="gpu")
    delete(CLUSTER, cluster)
    # The group that EKS made itself goes with it.
    groups = account.client("ec2").describe_security_groups()["SecurityGroups"]
    assert not [group for group in groups if group["GroupName"].startswith("eks-cluster-sg-acme")]


def test_a_protected_cluster_stays(
    make: Make, delete: Callable[..., None], account: Account, cluster: str
) -> None:
    handler = HANDLERS[CLUSTER]
    handler.update(account, cluster, {}, {"deletionProtection": True}, {"deletionProtection"})
    with pytest.raises(Refused, match="protected against deletion"):
        delete(CLUSTER, cluster)
    handler.update(account, cluster, {}, {"deletionProtection": False}, {"deletionProtection"})
    delete(CLUSTER, cluster)


def test_what_a_cluster_needs_must_be_there(make: Make, subnets: list[str]) -> None:
    network = {"subnetIds": subnets}
    with pytest.raises(Refused, match=r"the role .*/nobody does not exist"):
        make(CLUSTER, name="a", roleArn="arn:aws:iam::1:role/nobody", vpcConfig=network)
    wrong = role_arn(make, "wrong", "ec2.amazonaws.com")
    with pytest.raises(Refused, match=r"does not trust eks\.amazonaws\.com"):
        make(CLUSTER, name="a", roleArn=wrong, vpcConfig=network)
    right = role_arn(make, "right", "eks.amazonaws.com")
    with pytest.raises(Refused, match="fewer than 2 availability zones"):
        make(CLUSTER, name="a", roleArn=right, vpcConfig={"subnetIds": subnets[:1]})
    with pytest.raises(Refused, match="no cluster found for name: a"):
        make(ADDON, clusterName="a", addonName="vpc-cni")


def test_a_cluster_goes_up_one_version_at_a_time(account: Account, cluster: str) -> None:
    handler = HANDLERS[CLUSTER]
    with pytest.raises(Refused, match="the next minor version only"):
        handler.update(account, cluster, {"version": "1.33"}, {"version": "1.35"}, {"version"})
    handler.update(account, cluster, {"version": "1.33"}, {"version": "1.34"}, {"version"})
    seen = handler.read(account, cluster, {})
    assert seen is not None
    assert seen["version"] == "1.34"


def test_a_database_keeps_its_last_snapshot(
    make: Make, delete: Callable[..., None], account: Account, subnets: list[str]
) -> None:
    instance = database(make, subnets, deletionProtection=True)
    with pytest.raises(Refused, match=r"InvalidDBSubnetGroupStateFault: .* DB instance acme-db"):
        delete(DB_SUBNETS, "db")
    with pytest.raises(Refused, match=r"InvalidDBParameterGroupState: .* DB instance acme-db"):
        delete(DB_PARAMETERS, "db")
    with pytest.raises(Refused, match="finalSnapshotIdentifier is required"):
        delete(DB, instance)
    with pytest.raises(ClientError, match="Cannot delete protected DB Instance"):
        delete(DB, instance, finalSnapshotIdentifier="last")
    off = {"deletionProtection": False}
    HANDLERS[DB].update(account, instance, {"deletionProtection": True}, off, {"deletionProtection"})
    delete(DB, instance, finalSnapshotIdentifier="last")
    delete(DB_SUBNETS, "db")
    delete(DB_PARAMETERS, "db")
    snapshots = account.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [each["DBSnapshotIdentifier"] for each in snapshots] == ["last"]


def test_a_database_neither_shrinks_nor_goes_back(make: Make, account: Account, subnets: list[str]) -> None:
    instance = database(make, subnets)
    handler = HANDLERS[DB]
    state = handler.read(account, instance, {})
    assert state is not None
    with pytest.raises(Refused, match="cannot shrink from 20 GB to 10 GB"):
        handler.update(account, instance, state, {"allocatedStorage": 10}, {"allocatedStorage"})
    with pytest.raises(Refused, match="cannot go back from 16 to 15"):
        handler.update(account, instance, state, {"engineVersion": "15.2"}, {"engineVersion"})
    with pytest.raises(Refused, match="allowMajorVersionUpgrade is not set"):
        handler.update(account, instance, state, {"engineVersion": "17.1"}, {"engineVersion"})


def test_parts_of_a_cache_stay_while_it_uses_them(
    make: Make, delete: Callable[..., None], subnets: list[str]
) -> None:
    group = make(CACHE_SUBNETS, name="cache", subnetIds=subnets)
    with pytest.raises(Refused, match="UserNotFound: the user nobody"):
        make(CACHE_USERS, userGroupId="users", engine="valkey", userIds=["nobody"])
    user = make(CACHE_USER, userId="u", userName="u", engine="valkey", accessString="on ~* +@all")
    users = make(CACHE_USERS, userGroupId="users", engine="valkey", userIds=[user])
    inputs = {
        "replicationGroupId": "acme",
        "description": "cache",
        "engine": "valkey",
        "engineVersion": "8.0",
        "nodeType": "cache.t4g.small",
        "subnetGroupName": group,
        "userGroupIds": [users],
        "transitEncryptionEnabled": True,
    }
    with pytest.raises(Refused, match="UserGroupNotFound: others"):
        make(CACHE, **{**inputs, "userGroupIds": ["others"]})
    cache = make(CACHE, **inputs)
    with pytest.raises(Refused, match="CacheSubnetGroupInUse: cache is in use: cache acme"):
        delete(CACHE_SUBNETS, group)
    with pytest.raises(Refused, match="InvalidUserGroupState: users is in use: cache acme"):
        delete(CACHE_USERS, users)
    delete(CACHE, cache)
    # moto alone would never be rid of it.
    assert make(CACHE, **inputs) == cache
    delete(CACHE, cache)
    delete(CACHE_SUBNETS, group)
    delete(CACHE_USERS, users)


def test_a_key_outlives_what_it_encrypts(make: Make, delete: Callable[..., None], account: Account) -> None:
    key = make(KEY, deletionWindowInDays=7)
    arn = account.arn("kms", f"key/{key}")
    name = make("aws:cloudwatch/logGroup:LogGroup", name="/acme", kmsKeyId=arn)
    with pytest.raises(Refused, match="still encrypts something: log group /acme"):
        delete(KEY, key)
    delete("aws:cloudwatch/logGroup:LogGroup", name)
    delete(KEY, key, deletionWindowInDays=7)
    with pytest.raises(Refused, match=r"KMSKeyNotAccessible: .* is PendingDeletion"):
        make("aws:cloudwatch/logGroup:LogGroup", name="/again", kmsKeyId=arn)


def test_roles_and_policies_are_let_go_first(make: Make, delete: Callable[..., None]) -> None:
    make(ROLE, name="pod", assumeRolePolicy=trust("pods.eks.amazonaws.com"))
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
        }
    )
    policy = make("aws:iam/policy:Policy", name="pod", policy=document)
    attachment = make("aws:iam/rolePolicyAttachment:RolePolicyAttachment", role="pod", policyArn=policy)
    inline = make("aws:iam/rolePolicy:RolePolicy", role="pod", name="inline", policy=document)
    with pytest.raises(Refused, match=r"DeleteConflict: cannot delete a policy attached .* role pod"):
        delete("aws:iam/policy:Policy", policy)
    with pytest.raises(Refused, match=r"attached policy .*, inline policy inline"):
        delete(ROLE, "pod")
    delete("aws:iam/rolePolicyAttachment:RolePolicyAttachment", attachment)
    delete("aws:iam/rolePolicy:RolePolicy", inline)
    delete("aws:iam/policy:Policy", policy)
    delete(ROLE, "pod")


def test_a_full_bucket_is_emptied_only_when_told(
    make: Make, delete: Callable[..., None], account: Account
) -> None:
    bucket = make(BUCKET, bucket="freehold-acme")
    account.client("s3").put_object(Bucket=bucket, Key="snapshot", Body=b"data")
    with pytest.raises(Refused, match="BucketNotEmpty: the bucket freehold-acme holds 1"):
        delete(BUCKET, bucket)
    delete(BUCKET, bucket, forceDestroy=True)


def test_a_subnet_group_survives_its_change(
    make: Make, account: Account, vpc: str, subnets: list[str]
) -> None:
    third = make(SUBNET, vpcId=vpc, cidrBlock="10.20.9.0/24", availabilityZone=f"{REGION}c")
    group = make(DB_SUBNETS, name="db", subnetIds=subnets)
    HANDLERS[DB_SUBNETS].update(account, group, {}, {"subnetIds": [*subnets, third]}, {"subnetIds"})
    seen = HANDLERS[DB_SUBNETS].read(account, group, {})
    assert seen is not None
    assert set(seen["subnetIds"]) == {*subnets, third}


def assumed(external_id: str | None, **settings: Any) -> Account:
    role = {"roleArn": "arn:aws:iam::222222222222:role/freehold"}
    if external_id:
        role["externalId"] = external_id
    # The SDK hands over what is not a string as JSON text.
    return Account.configured(
        settings_read({"region": REGION, "assumeRoles": json.dumps([role]), **settings})
    )


def test_a_customers_account_is_entered_by_its_role(
    aws_accounts: AwsAccounts, account: Account, make: Make
) -> None:
    with pytest.raises(Refused, match=r"AccessDenied: .*the role does not exist"):
        assumed("right")
    condition = {"StringEquals": {"sts:ExternalId": "right"}}
    aws_accounts.client("iam", account_id="222222222222").create_role(
        RoleName="freehold", AssumeRolePolicyDocument=trust("ec2.amazonaws.com", Condition=condition)
    )
    for wrong in (None, "wrong"):
        with pytest.raises(Refused, match=r"AccessDenied: .*another external id"):
            assumed(wrong)
    with pytest.raises(Refused, match="AWS account ID not allowed: 222222222222"):
        assumed("right", allowedAccountIds='["111111111111"]')
    theirs = assumed("right", allowedAccountIds='["222222222222"]')
    vpc = HANDLERS[VPC].create(theirs, {"cidrBlock": "10.30.0.0/16", "tagsAll": TAGS})
    assert [each.id for each in aws_accounts.everything_tagged("acme", account_id="222222222222")] == [vpc]
    # Nothing of it is ours.
    assert aws_accounts.everything_tagged("acme") == []
    assert HANDLERS[VPC].read(account, vpc, {}) is None


def test_a_tenants_things_are_found_in_every_service(
    make: Make, aws_accounts: AwsAccounts, account: Account, cluster: str, subnets: list[str]
) -> None:
    node_group(make, subnets)
    database(make, subnets)
    make(CACHE_SUBNETS, name="cache", subnetIds=subnets)
    make(TEMPLATE, name="gpu")
    make(BUCKET, bucket="freehold-acme")
    make("aws:secretsmanager/secret:Secret", name="acme")
    found = {each.type for each in aws_accounts.everything_tagged("acme")}
    assert found == {
        *(VPC, SUBNET, ROLE, CLUSTER, NODES, DB, DB_SUBNETS, DB_PARAMETERS, CACHE_SUBNETS, TEMPLATE, BUCKET),
        "aws:secretsmanager/secret:Secret",
    }
    assert aws_accounts.everything_tagged("globex") == []


KUBECONFIG = """
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: Q0E=}}]
users: [{name: u, user: {token: of-the-test}}]
"""


def test_a_cluster_answers_with_the_tests_own_api_server(
    aws_accounts: AwsAccounts,
    account: Account,
    cluster: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    monkeypatch.setenv(KUBECONFIG_VARIABLE, str(kubeconfig))
    seen = HANDLERS[CLUSTER].read(account, cluster, {})
    assert seen is not None
    assert (seen["endpoint"], seen["certificateAuthority"]) == ("https://127.0.0.1:6443", {"data": "Q0E="})
    command = [str(aws_accounts.executables / "aws"), "--region", REGION]
    said = subprocess.run(
        [*command, "eks", "get-token", "--cluster-name", "acme", "--output", "json"],
        env={KUBECONFIG_VARIABLE: str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    credential = json.loads(said.stdout)
    assert credential["kind"] == "ExecCredential"
    assert credential["status"] == {"token": "of-the-test"}
