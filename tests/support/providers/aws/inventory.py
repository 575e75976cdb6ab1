"""What of a tenant is there in an account: each service is asked itself, as the tagging API misses a third."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.providers.aws.gaps import FORGOTTEN, endpoint_is_gone
from tests.support.providers.aws.handler import unpaired
from tests.support.providers.aws.store import Store

TENANT_TAG = "freehold:tenant"
Clients = Callable[[str], Any]
Tags = dict[str, str]


@dataclass(frozen=True, order=True)
class Remaining:
    """`type` is the official provider's name for it."""

    type: str
    id: str


def everything_tagged(slug: str, clients: Clients, store: Store, place: str) -> list[Remaining]:
    """Keys and secrets that wait for their deletion are gone as far as this is concerned."""
    found = [
        Remaining(kind, identifier)
        for ask in (_ec2, _eks, _rds, _elasticache, _iam, _kms, _logs, _s3, _secrets)
        for kind, identifier, tags in ask(clients)
        if tags.get(TENANT_TAG) == slug
    ]
    found += [
        Remaining(kind, name)
        for kind, name, values in _kept(store, place)
        if values.get("tagsAll", {}).get(TENANT_TAG) == slug
    ]
    return sorted(set(found))


def _kept(store: Store, place: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    from tests.support.providers.aws.types import HANDLERS

    for kind in HANDLERS:
        for name, values in store.all(place, kind).items():
            yield kind, name, values
        # Node groups and launch templates have their tags here.
        for name, values in store.all(place, f"{FORGOTTEN}:{kind}").items():
            yield kind, name, values


def _ec2(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    ec2 = clients("ec2")
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    for kind, answer, key in (
        ("aws:ec2/vpc:Vpc", ec2.describe_vpcs()["Vpcs"], "VpcId"),
        ("aws:ec2/subnet:Subnet", ec2.describe_subnets()["Subnets"], "SubnetId"),
        ("aws:ec2/routeTable:RouteTable", ec2.describe_route_tables()["RouteTables"], "RouteTableId"),
        ("aws:ec2/securityGroup:SecurityGroup", ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
        (
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            [rule for rule in rules if not rule["IsEgress"]],
            "SecurityGroupRuleId",
        ),
        (
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
            [rule for rule in rules if rule["IsEgress"]],
            "SecurityGroupRuleId",
        ),
        ("aws:ec2/flowLog:FlowLog", ec2.describe_flow_logs()["FlowLogs"], "FlowLogId"),
        ("aws:ec2/eip:Eip", ec2.describe_addresses()["Addresses"], "AllocationId"),
        (
            "aws:ec2/internetGateway:InternetGateway",
            ec2.describe_internet_gateways()["InternetGateways"],
            "InternetGatewayId",
        ),
        (
            "aws:ec2/networkInterface:NetworkInterface",
            [
                {**each, "Tags": each.get("TagSet")}
                for each in ec2.describe_network_interfaces()["NetworkInterfaces"]
            ],
            "NetworkInterfaceId",
        ),
        (
            "aws:ec2/natGateway:NatGateway",
            [each for each in ec2.describe_nat_gateways()["NatGateways"] if each["State"] != "deleted"],
            "NatGatewayId",
        ),
        (
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            [each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"] if not endpoint_is_gone(each)],
            "VpcEndpointId",
        ),
        (
            "aws:ec2transitgateway/vpcAttachment:VpcAttachment",
            [
                each
                for each in ec2.describe_transit_gateway_vpc_attachments()["TransitGatewayVpcAttachments"]
                if each["State"] not in ("deleted", "deleting")
            ],
            "TransitGatewayAttachmentId",
        ),
        (
            "aws:ec2/launchTemplate:LaunchTemplate",
            ec2.describe_launch_templates()["LaunchTemplates"],
            "LaunchTemplateId",
        ),
    ):
        for each in answer:
            yield kind, each[key], unpaired(each.get("Tags"))


def _eks(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    eks = clients("eks")
    for name in eks.list_clusters()["clusters"]:
        yield "aws:eks/cluster:Cluster", name, eks.describe_cluster(name=name)["cluster"].get("tags") or {}
        for group in eks.list_nodegroups(clusterName=name)["nodegroups"]:
            described = eks.describe_nodegroup(clusterName=name, nodegroupName=group)["nodegroup"]
            yield "aws:eks/nodeGroup:NodeGroup", f"{name}:{group}", described.get("tags") or {}


def _rds(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    rds = clients("rds")
    for kind, answer, key, arn in (
        (
            "aws:rds/instance:Instance",
            rds.describe_db_instances()["DBInstances"],
            "DBInstanceIdentifier",
            "DBInstanceArn",
        ),
        (
            "aws:rds/snapshot:Snapshot",
            rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"],
            "DBSnapshotIdentifier",
            "DBSnapshotArn",
        ),
        (
            "aws:rds/subnetGroup:SubnetGroup",
            rds.describe_db_subnet_groups()["DBSubnetGroups"],
            "DBSubnetGroupName",
            "DBSubnetGroupArn",
        ),
        (
            "aws:rds/parameterGroup:ParameterGroup",
            rds.describe_db_parameter_groups()["DBParameterGroups"],
            "DBParameterGroupName",
            "DBParameterGroupArn",
        ),
    ):
        for each in answer:
            tags = rds.list_tags_for_resource(ResourceName=each[arn])["TagList"]
            yield kind, each[key], unpaired(tags)


def _elasticache(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    cache = clients("elasticache")
    for group in cache.describe_replication_groups()["ReplicationGroups"]:
        tags = cache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"]
        yield "aws:elasticache/replicationGroup:ReplicationGroup", group["ReplicationGroupId"], unpaired(tags)


def _iam(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    iam = clients("iam")
    for role in iam.list_roles()["Roles"]:
        tags = iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
        yield "aws:iam/role:Role", role["RoleName"], unpaired(tags)
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        tags = iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"]
        yield "aws:iam/policy:Policy", policy["Arn"], unpaired(tags)


def _kms(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    kms = clients("kms")
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
            tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            yield "aws:kms/key:Key", key["KeyId"], unpaired(tags, "TagKey", "TagValue")


def _logs(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    logs = clients("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        arn = group["arn"].removesuffix(":*")
        tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
        yield "aws:cloudwatch/logGroup:LogGroup", group["logGroupName"], tags


def _s3(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    s3 = clients("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
        except s3.exceptions.ClientError:
            continue
        yield "aws:s3/bucket:Bucket", bucket["Name"], unpaired(tags)


def _secrets(clients: Clients) -> Iterator[tuple[str, str, Tags]]:
    for secret in clients("secretsmanager").list_secrets()["SecretList"]:
        if not secret.get("DeletedDate"):
            yield "aws:secretsmanager/secret:Secret", secret["Name"], unpaired(secret.get("Tags"))
