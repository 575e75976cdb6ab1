"""One look for each kind of resource that an AWS account may hold of a tenant; LOOKS is the list of them.

What AWS goes on listing after its end (deleted NAT gateways, terminated machines, keys whose deletion is scheduled)
is gone. Final snapshots are kept on purpose.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from botocore.exceptions import ClientError

from contracts.gpus import GPUS_OF_INSTANCE
from controlplane.tenants.leaks.aws_account import TENANT_TAG, Account, denied, tags_of
from controlplane.tenants.leaks.model import Kept, Leak

Look = Callable[[Account], Iterator[Leak]]


@dataclass(frozen=True)
class Ec2Type:
    """How EC2 lists a type. `gone` are states in which it exists in lists only; `filters` the argument's name."""

    operation: str
    key: str
    id: str
    gone: tuple[str, ...] = ()
    filters: str = "Filters"
    state: str = "State"


_EC2: Final[dict[str, Ec2Type]] = {
    "VPC": Ec2Type("describe_vpcs", "Vpcs", "VpcId"),
    "subnet": Ec2Type("describe_subnets", "Subnets", "SubnetId"),
    "route table": Ec2Type("describe_route_tables", "RouteTables", "RouteTableId"),
    "security group": Ec2Type("describe_security_groups", "SecurityGroups", "GroupId"),
    "network interface": Ec2Type(
        "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", state="Status"
    ),
    "internet gateway": Ec2Type("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "NAT gateway": Ec2Type(
        "describe_nat_gateways", "NatGateways", "NatGatewayId", ("deleted",), filters="Filter"
    ),
    "elastic IP": Ec2Type("describe_addresses", "Addresses", "AllocationId"),
    "VPC endpoint": Ec2Type(
        "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", ("deleted", "Deleted")
    ),
    "flow log": Ec2Type(
        "describe_flow_logs", "FlowLogs", "FlowLogId", filters="Filter", state="FlowLogStatus"
    ),
    "launch template": Ec2Type("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    "capacity reservation": Ec2Type(
        "describe_capacity_reservations",
        "CapacityReservations",
        "CapacityReservationId",
        ("expired", "cancelled", "failed", "unsupported"),
    ),
    "volume": Ec2Type("describe_volumes", "Volumes", "VolumeId", ("deleting", "deleted")),
    "volume snapshot": Ec2Type("describe_snapshots", "Snapshots", "SnapshotId"),
    "machine": Ec2Type("describe_instances", "Reservations", "InstanceId", ("terminated", "shutting-down")),
}
#: Services that have looks of their own; the tagging API is asked about all others.
_ASKED: Final = frozenset(
    {
        "autoscaling",
        "ec2",
        "ecr",
        "eks",
        "elasticache",
        "elasticloadbalancing",
        "iam",
        "kms",
        "logs",
        "rds",
        "s3",
    }
    | {"secretsmanager"}
)


def _ec2(account: Account, kind: str) -> Iterator[Leak]:
    for found in _ec2_items(account, _EC2[kind]):
        detail = (
            found.get("InstanceType", "") if kind == "machine" else tags_of(found.get("Tags")).get("Name", "")
        )
        yield Leak(kind, str(found[_EC2[kind].id]), detail)


def _ec2_items(account: Account, wanted: Ec2Type) -> Iterator[Mapping[str, Any]]:
    """What bears any of the tenant's marks and is not gone, each once."""
    seen: set[str] = set()
    for key, value in account.marks:
        # EC2 joins filters with "and", so each mark is a question of its own.
        filters = {wanted.filters: [{"Name": f"tag:{key}", "Values": [value]}]}
        for item in account.pages("ec2", wanted.operation, wanted.key, **filters):
            for each in item.get("Instances", [item]):
                state = each.get(wanted.state)
                state = state.get("Name") if isinstance(state, dict) else state
                if each[wanted.id] not in seen and state not in wanted.gone:
                    seen.add(each[wanted.id])
                    yield each


def gpu_machines(account: Account) -> Iterator[Leak]:
    """Machines with GPUs that run or are about to."""
    for found in _ec2_items(account, _EC2["machine"]):
        if found.get("InstanceType") in GPUS_OF_INSTANCE and found["State"]["Name"] != "stopped":
            yield Leak("machine with GPUs", found["InstanceId"], found["InstanceType"])


def _eks(account: Account) -> Iterator[Leak]:
    for name in account.pages("eks", "list_clusters", "clusters"):
        cluster = account.client("eks").describe_cluster(name=name)["cluster"]
        if name != account.cluster and not account.owns(cluster.get("tags") or {}):
            continue
        yield Leak("EKS cluster", name, cluster.get("status", ""))
        for group in account.pages("eks", "list_nodegroups", "nodegroups", clusterName=name):
            yield Leak("EKS node group", f"{name}/{group}")


def _rds_instances(account: Account) -> Iterator[Leak]:
    for found in account.pages("rds", "describe_db_instances", "DBInstances"):
        if account.owns(tags_of(found.get("TagList"))):
            yield Leak("RDS instance", found["DBInstanceIdentifier"], found.get("DBInstanceStatus", ""))


def _rds_snapshots(account: Account) -> Iterator[Leak]:
    # Automated ones go with their instance.
    listed = account.pages("rds", "describe_db_snapshots", "DBSnapshots", SnapshotType="manual")
    for found in listed:
        if account.owns(tags_of(found.get("TagList"))):
            yield Kept("RDS snapshot", found["DBSnapshotIdentifier"])


def _by_arn(
    account: Account, kind: str, service: str, operation: str, key: str, id: str, arn: str, tags: str
) -> Iterator[Leak]:
    """For RDS and ElastiCache, whose lists leave tags out: each is asked for its own."""
    for found in account.pages(service, operation, key):
        if str(found[id]).startswith("default"):
            continue
        # A type without an ARN of its own in the answer was made by AWS for everybody.
        if not found.get(arn):
            continue
        answer = account.client(service).list_tags_for_resource(ResourceName=found[arn])
        if account.owns(tags_of(answer.get(tags))):
            yield Leak(kind, str(found[id]))


def _iam_roles(account: Account) -> Iterator[Leak]:
    for found in account.pages("iam", "list_roles", "Roles"):
        if found["Path"].startswith(("/aws-service-role/", "/aws-reserved/")):
            continue
        answer = account.client("iam").list_role_tags(RoleName=found["RoleName"])
        if account.owns(tags_of(answer["Tags"])):
            yield Leak("IAM role", found["RoleName"])


def _iam_policies(account: Account) -> Iterator[Leak]:
    for found in account.pages("iam", "list_policies", "Policies", Scope="Local"):
        answer = account.client("iam").list_policy_tags(PolicyArn=found["Arn"])
        if account.owns(tags_of(answer["Tags"])):
            yield Leak("IAM policy", found["Arn"])


def _iam_profiles(account: Account) -> Iterator[Leak]:
    for found in account.pages("iam", "list_instance_profiles", "InstanceProfiles"):
        answer = account.client("iam").list_instance_profile_tags(
            InstanceProfileName=found["InstanceProfileName"]
        )
        if account.owns(tags_of(answer["Tags"])):
            yield Leak("IAM instance profile", found["InstanceProfileName"])


def _iam_providers(account: Account) -> Iterator[Leak]:
    for found in account.pages("iam", "list_open_id_connect_providers", "OpenIDConnectProviderList"):
        answer = account.client("iam").list_open_id_connect_provider_tags(
            OpenIDConnectProviderArn=found["Arn"]
        )
        if account.owns(tags_of(answer["Tags"])):
            yield Leak("IAM OpenID Connect provider", found["Arn"])


def _kms(account: Account) -> Iterator[Leak]:
    client, refused = account.client("kms"), []
    for found in account.pages("kms", "list_keys", "Keys"):
        try:
            known = client.describe_key(KeyId=found["KeyId"])["KeyMetadata"]
            if known.get("KeyManager") == "AWS" or known["KeyState"] == "PendingDeletion":
                continue
            tags = tags_of(client.list_resource_tags(KeyId=found["KeyId"])["Tags"])
        except ClientError as error:
            if not denied(error):
                raise
            refused.append(found["KeyArn"])
            continue
        if account.owns(tags):
            yield Leak("KMS key", found["KeyArn"], known["KeyState"])
    yield from _tagged_among(account, "KMS key", refused)


def _s3(account: Account) -> Iterator[Leak]:
    client, refused = account.client("s3"), []
    for found in client.list_buckets()["Buckets"]:
        try:
            tags = tags_of(client.get_bucket_tagging(Bucket=found["Name"])["TagSet"])
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in ("NoSuchTagSet", "NoSuchBucket"):
                continue
            if not denied(error):
                raise
            refused.append(f"arn:aws:s3:::{found['Name']}")
            continue
        if account.owns(tags):
            yield Leak("S3 bucket", found["Name"])
    yield from _tagged_among(account, "S3 bucket", refused)


def _tagged_among(account: Account, kind: str, refused: list[str]) -> Iterator[Leak]:
    """Keys and buckets have policies of their own: of those that tell us nothing the tagging API tells the tags."""
    if refused:
        tagged = set(_tagged(account))
        yield from (Leak(kind, arn, "refuses to tell more") for arn in refused if arn in tagged)


def _secrets(account: Account) -> Iterator[Leak]:
    # What is scheduled for deletion is listed only to those who ask for it.
    filters = [{"Key": "tag-key", "Values": [TENANT_TAG]}, {"Key": "tag-value", "Values": [account.slug]}]
    for found in account.pages("secretsmanager", "list_secrets", "SecretList", Filters=filters):
        # The filters match a beginning, and any key with any value.
        if account.owns(tags_of(found.get("Tags"))) and not found.get("DeletedDate"):
            yield Leak("secret", found["Name"])


def _logs(account: Account) -> Iterator[Leak]:
    tagged = {arn.removesuffix(":*") for arn in _tagged(account)}
    for found in account.pages("logs", "describe_log_groups", "logGroups"):
        # EKS makes its group anew, without tags, when a last line arrives late.
        late = found["logGroupName"].startswith(f"/aws/eks/{account.cluster}/")
        if late or found["arn"].removesuffix(":*") in tagged:
            yield Leak("log group", found["logGroupName"])


def _ecr(account: Account) -> Iterator[Leak]:
    for found in account.pages("ecr", "describe_repositories", "repositories"):
        answer = account.client("ecr").list_tags_for_resource(resourceArn=found["repositoryArn"])
        if account.owns(tags_of(answer["tags"])):
            yield Leak("ECR repository", found["repositoryName"])


def _balancers(account: Account, kind: str, operation: str, key: str, arn: str) -> Iterator[Leak]:
    arns = [found[arn] for found in account.pages("elbv2", operation, key)]
    for begin in range(0, len(arns), 20):  # as many as one question may name
        answer = account.client("elbv2").describe_tags(ResourceArns=arns[begin : begin + 20])
        for found in answer["TagDescriptions"]:
            if account.owns(tags_of(found.get("Tags"))):
                yield Leak(kind, found["ResourceArn"])


def _scaling_groups(account: Account) -> Iterator[Leak]:
    for found in account.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"):
        if account.owns(tags_of(found.get("Tags"))):
            yield Leak("auto scaling group", found["AutoScalingGroupName"])


def _others(account: Account) -> Iterator[Leak]:
    """What is tagged in services that this scan does not ask themselves."""
    for arn in _tagged(account):
        if arn.split(":")[2] not in _ASKED:
            yield Leak("resource", arn)


def _tagged(account: Account) -> Iterator[str]:
    filters = [{"Key": TENANT_TAG, "Values": [account.slug]}]
    pages = account.pages(
        "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList", TagFilters=filters
    )
    yield from (str(found["ResourceARN"]) for found in pages)


def _cache(kind: str, operation: str, key: str, id: str) -> Look:
    return partial(
        _by_arn,
        kind=kind,
        service="elasticache",
        operation=operation,
        key=key,
        id=id,
        arn="ARN",
        tags="TagList",
    )


def _database(kind: str, operation: str, key: str, id: str, arn: str) -> Look:
    return partial(
        _by_arn, kind=kind, service="rds", operation=operation, key=key, id=id, arn=arn, tags="TagList"
    )


def _cache_snapshots(account: Account) -> Iterator[Leak]:
    for found in account.pages("elasticache", "describe_snapshots", "Snapshots", SnapshotSource="user"):
        answer = account.client("elasticache").list_tags_for_resource(ResourceName=found["ARN"])
        if account.owns(tags_of(answer.get("TagList"))):
            yield Kept("ElastiCache snapshot", found["SnapshotName"])


#: What is asked -> how. A failure of one leaves the others' findings as they are.
LOOKS: Final[dict[str, Look]] = {
    **{f"EC2 {kind}": partial(_ec2, kind=kind) for kind in _EC2},
    "EKS": _eks,
    "RDS instance": _rds_instances,
    "RDS snapshot": _rds_snapshots,
    "RDS subnet group": _database(
        "RDS subnet group",
        "describe_db_subnet_groups",
        "DBSubnetGroups",
        "DBSubnetGroupName",
        "DBSubnetGroupArn",
    ),
    "RDS parameter group": _database(
        "RDS parameter group",
        "describe_db_parameter_groups",
        "DBParameterGroups",
        "DBParameterGroupName",
        "DBParameterGroupArn",
    ),
    "ElastiCache replication group": _cache(
        "ElastiCache replication group",
        "describe_replication_groups",
        "ReplicationGroups",
        "ReplicationGroupId",
    ),
    "ElastiCache subnet group": _cache(
        "ElastiCache subnet group",
        "describe_cache_subnet_groups",
        "CacheSubnetGroups",
        "CacheSubnetGroupName",
    ),
    "ElastiCache parameter group": _cache(
        "ElastiCache parameter group",
        "describe_cache_parameter_groups",
        "CacheParameterGroups",
        "CacheParameterGroupName",
    ),
    "ElastiCache user": _cache("ElastiCache user", "describe_users", "Users", "UserId"),
    "ElastiCache user group": _cache(
        "ElastiCache user group", "describe_user_groups", "UserGroups", "UserGroupId"
    ),
    "ElastiCache snapshot": _cache_snapshots,
    "IAM role": _iam_roles,
    "IAM policy": _iam_policies,
    "IAM instance profile": _iam_profiles,
    "IAM OpenID Connect provider": _iam_providers,
    "KMS key": _kms,
    "S3 bucket": _s3,
    "secret": _secrets,
    "log group": _logs,
    "ECR repository": _ecr,
    "load balancer": partial(
        _balancers,
        kind="load balancer",
        operation="describe_load_balancers",
        key="LoadBalancers",
        arn="LoadBalancerArn",
    ),
    "target group": partial(
        _balancers,
        kind="target group",
        operation="describe_target_groups",
        key="TargetGroups",
        arn="TargetGroupArn",
    ),
    "auto scaling group": _scaling_groups,
    "other services": _others,
}
