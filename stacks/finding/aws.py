"""Resources of an AWS account, by the names and tags their inputs give.

An answer is the id that Pulumi's AWS provider gives the resource. Types whose creation is the same when it is made
twice (a setting that is put, a policy that is attached) need no look: `IDEMPOTENT`.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from contracts.stack import StackSpec
from stacks.components.aws.site import TENANT_TAG
from stacks.errors import InputInvalid
from stacks.finding import Finder
from stacks.sweeps.session import LIMITS, account_session

Inputs = Mapping[str, Any]
Look = Callable[[Any, Inputs], str | None]

IDEMPOTENT: Final = frozenset(
    {
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
    }
)
_NOT_THERE = ("NotFound", "NoSuch", "404", "DoesNotExist")


def aws_finder(spec: StackSpec) -> Finder:
    session = account_session(spec)

    def find(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> str | None:
        kind = str(resource["type"])
        if kind in IDEMPOTENT:
            return None
        if kind not in LOOKS:
            raise InputInvalid(f"nobody can tell whether a {kind} was created")
        service, look = LOOKS[kind]
        client = session.client(service, config=LIMITS)  # type: ignore[call-overload]
        try:
            return look(client, resource.get("inputs") or {})
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if any(word in code for word in _NOT_THERE):
                return None
            raise

    return find


def _tagged(operation: str, answer: str, identity: str, *, gone: Sequence[str] = ()) -> Look:
    """For what EC2 numbers itself: found by the tenant's tag and its Name, which our programs keep apart by type.

    Subnets and endpoints of one name differ by a zone or a service that is part of the name.
    """

    def look(client: Any, inputs: Inputs) -> str | None:
        tags = inputs.get("tags") or {}
        filters = [
            {"Name": f"tag:{name}", "Values": [tags[name]]} for name in (TENANT_TAG, "Name") if name in tags
        ]
        if len(filters) != 2:
            raise InputInvalid(f"a resource without {TENANT_TAG} and Name cannot be looked up")
        key = "Filter" if operation == "describe_flow_logs" else "Filters"
        found = [
            each
            for each in getattr(client, operation)(**{key: filters})[answer]
            if str(each.get("State", "")).lower() not in gone
        ]
        return str(found[0][identity]) if found else None

    return look


def _named(name: str, operation: str, argument: str, identity: Callable[[Any, Inputs], str]) -> Look:
    """For what is described by a name of ours. The service says NotFound when there is none."""

    def look(client: Any, inputs: Inputs) -> str | None:
        value = inputs[name]
        many = argument.endswith("s")
        answer = getattr(client, operation)(**{argument: [value] if many else value})
        return identity(answer, inputs)

    return look


def _same(name: str) -> Callable[[Any, Inputs], str]:
    return lambda _, inputs: str(inputs[name])


def _key(client: Any, inputs: Inputs) -> str | None:
    tags = inputs.get("tags") or {}
    for page in client.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            state = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            if state["KeyManager"] != "CUSTOMER" or state["KeyState"] == "PendingDeletion":
                continue
            said = client.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            if {tag["TagKey"]: tag["TagValue"] for tag in said}.get(TENANT_TAG) == tags.get(TENANT_TAG):
                return str(key["KeyId"])
    return None


def _alias(client: Any, inputs: Inputs) -> str | None:
    for page in client.get_paginator("list_aliases").paginate():
        if any(alias["AliasName"] == inputs["name"] for alias in page["Aliases"]):
            return str(inputs["name"])
    return None


def _log_group(client: Any, inputs: Inputs) -> str | None:
    found = client.describe_log_groups(logGroupNamePrefix=inputs["name"])["logGroups"]
    return next((str(each["logGroupName"]) for each in found if each["logGroupName"] == inputs["name"]), None)


def _route(client: Any, inputs: Inputs) -> str | None:
    table, wanted = str(inputs["routeTableId"]), str(inputs["destinationCidrBlock"])
    for each in client.describe_route_tables(RouteTableIds=[table])["RouteTables"]:
        if any(route.get("DestinationCidrBlock") == wanted for route in each["Routes"]):
            return f"r-{table}{zlib.crc32(wanted.encode())}"
    return None


def _association(client: Any, inputs: Inputs) -> str | None:
    for table in client.describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]:
        for each in table["Associations"]:
            if each.get("SubnetId") == inputs["subnetId"]:
                return str(each["RouteTableAssociationId"])
    return None


def _launch_template(client: Any, inputs: Inputs) -> str | None:
    found = client.describe_launch_templates(LaunchTemplateNames=[inputs["name"]])["LaunchTemplates"]
    return str(found[0]["LaunchTemplateId"]) if found else None


def _bucket(client: Any, inputs: Inputs) -> str | None:
    client.head_bucket(Bucket=inputs["bucket"])
    return str(inputs["bucket"])


def _pod_identity(client: Any, inputs: Inputs) -> str | None:
    found = client.list_pod_identity_associations(
        clusterName=inputs["clusterName"],
        namespace=inputs["namespace"],
        serviceAccount=inputs["serviceAccount"],
    )["associations"]
    return str(found[0]["associationId"]) if found else None


def _in_cluster(operation: str, name: str, argument: str) -> Look:
    def look(client: Any, inputs: Inputs) -> str | None:
        cluster = inputs["clusterName"]
        getattr(client, operation)(**{"clusterName": cluster, argument: inputs[name]})
        return f"{cluster}:{inputs[name]}"

    return look


def _access_policy(client: Any, inputs: Inputs) -> str | None:
    cluster, principal, policy = (str(inputs[name]) for name in ("clusterName", "principalArn", "policyArn"))
    found = client.list_associated_access_policies(clusterName=cluster, principalArn=principal)
    if any(each["policyArn"] == policy for each in found["associatedAccessPolicies"]):
        return f"{cluster}#{principal}#{policy}"
    return None


#: Type -> (service, how it is looked up).
LOOKS: Final[Mapping[str, tuple[str, Look]]] = {
    "aws:cloudwatch/logGroup:LogGroup": ("logs", _log_group),
    "aws:ec2/flowLog:FlowLog": ("ec2", _tagged("describe_flow_logs", "FlowLogs", "FlowLogId")),
    "aws:ec2/launchTemplate:LaunchTemplate": ("ec2", _launch_template),
    "aws:ec2/route:Route": ("ec2", _route),
    "aws:ec2/routeTable:RouteTable": ("ec2", _tagged("describe_route_tables", "RouteTables", "RouteTableId")),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("ec2", _association),
    "aws:ec2/securityGroup:SecurityGroup": (
        "ec2", _tagged("describe_security_groups", "SecurityGroups", "GroupId"),
    ),
    "aws:ec2/subnet:Subnet": ("ec2", _tagged("describe_subnets", "Subnets", "SubnetId")),
    "aws:ec2/vpc:Vpc": ("ec2", _tagged("describe_vpcs", "Vpcs", "VpcId")),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        "ec2",
        _tagged("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", gone=("deleted", "deleting")),
    ),
    "aws:ec2transitgateway/vpcAttachment:VpcAttachment": (
        "ec2",
        _tagged(
            "describe_transit_gateway_vpc_attachments",
            "TransitGatewayVpcAttachments",
            "TransitGatewayAttachmentId",
            gone=("deleted", "deleting"),
        ),
    ),
    "aws:eks/accessEntry:AccessEntry": (
        "eks", _in_cluster("describe_access_entry", "principalArn", "principalArn"),
    ),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": ("eks", _access_policy),
    "aws:eks/addon:Addon": ("eks", _in_cluster("describe_addon", "addonName", "addonName")),
    "aws:eks/cluster:Cluster": ("eks", _named("name", "describe_cluster", "name", _same("name"))),
    "aws:eks/nodeGroup:NodeGroup": (
        "eks", _in_cluster("describe_nodegroup", "nodeGroupName", "nodegroupName"),
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": ("eks", _pod_identity),
    "aws:elasticache/parameterGroup:ParameterGroup": (
        "elasticache",
        _named("name", "describe_cache_parameter_groups", "CacheParameterGroupName", _same("name")),
    ),
    "aws:elasticache/replicationGroup:ReplicationGroup": (
        "elasticache",
        _named(
            "replicationGroupId", "describe_replication_groups", "ReplicationGroupId",
            _same("replicationGroupId"),
        ),
    ),
    "aws:elasticache/subnetGroup:SubnetGroup": (
        "elasticache",
        _named("name", "describe_cache_subnet_groups", "CacheSubnetGroupName", _same("name")),
    ),
    "aws:iam/role:Role": ("iam", _named("name", "get_role", "RoleName", _same("name"))),
    "aws:kms/alias:Alias": ("kms", _alias),
    "aws:kms/key:Key": ("kms", _key),
    "aws:rds/instance:Instance": (
        "rds",
        _named(
            "identifier", "describe_db_instances", "DBInstanceIdentifier",
            # The provider numbers databases by what AWS never gives twice.
            lambda answer, _: str(answer["DBInstances"][0]["DbiResourceId"]),
        ),
    ),
    "aws:rds/parameterGroup:ParameterGroup": (
        "rds", _named("name", "describe_db_parameter_groups", "DBParameterGroupName", _same("name")),
    ),
    "aws:rds/subnetGroup:SubnetGroup": (
        "rds", _named("name", "describe_db_subnet_groups", "DBSubnetGroupName", _same("name")),
    ),
    "aws:s3/bucket:Bucket": ("s3", _bucket),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        "ec2", _tagged("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ),
}  # fmt: skip
