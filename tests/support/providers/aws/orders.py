"""What AWS demands of the order of things, where moto lets everything pass.

`*_exists` is called before something that needs it is made, `*_unused` before it is deleted; both refuse in AWS's
words. Rules marked "stricter" are the stand-in's own: AWS would do it, and data or a running tenant would be lost.
"""

from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import endpoint_is_gone, key_id_of
from tests.support.providers.serving import Refused


def subnets_exist(aws: Account, subnet_ids: Iterable[str], *, zones: int = 1) -> list[dict[str, Any]]:
    """The subnets, in at least that many availability zones."""
    wanted = list(subnet_ids)
    try:
        subnets: list[dict[str, Any]] = aws.client("ec2").describe_subnets(SubnetIds=wanted)["Subnets"]
    except ClientError as error:
        raise Refused(f"InvalidSubnet: {error.response['Error']['Message']}") from error
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < zones:
        raise Refused(
            f"the subnets {', '.join(wanted)} lie in fewer than {zones} availability zones: AWS wants {zones} or more"
        )
    return subnets


def security_groups_exist(aws: Account, group_ids: Iterable[str]) -> None:
    wanted = list(group_ids)
    if wanted:
        try:
            aws.client("ec2").describe_security_groups(GroupIds=wanted)
        except ClientError as error:
            raise Refused(f"InvalidGroup.NotFound: {error.response['Error']['Message']}") from error


def role_exists(aws: Account, role_arn: str, *, service: str) -> None:
    """The role is there and its trust policy names the service."""
    try:
        role = aws.client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])["Role"]
    except ClientError as error:
        raise Refused(f"InvalidParameterException: the role {role_arn} does not exist") from error
    if service not in str(role["AssumeRolePolicyDocument"]):
        raise Refused(f"InvalidParameterException: the role {role_arn} does not trust {service}")


def key_exists(aws: Account, key: str | None) -> None:
    if key is None or key.startswith("alias/"):
        return
    try:
        described = aws.client("kms").describe_key(KeyId=key_id_of(key))["KeyMetadata"]
    except ClientError as error:
        raise Refused(f"KMSKeyNotAccessible: the key {key} does not exist") from error
    if described["KeyState"] != "Enabled":
        raise Refused(f"KMSKeyNotAccessible: the key {key} is {described['KeyState']}")


def launch_template_exists(aws: Account, template: Values) -> None:
    asked = (
        {"LaunchTemplateIds": [template["id"]]}
        if template.get("id")
        else {"LaunchTemplateNames": [template["name"]]}
    )
    try:
        found = aws.client("ec2").describe_launch_templates(**asked)["LaunchTemplates"]
    except ClientError:
        found = []
    if not found:
        raise Refused(f"InvalidRequestException: the launch template {template} does not exist")


def gateway_is_attached(aws: Account, table_id: str, gateway_id: str) -> None:
    """A route leads to a transit gateway only from a VPC that is attached to it."""
    ec2 = aws.client("ec2")
    vpc_id = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"][0]["VpcId"]
    attachments = ec2.describe_transit_gateway_vpc_attachments()["TransitGatewayVpcAttachments"]
    if not any(
        each["VpcId"] == vpc_id and each["TransitGatewayId"] == gateway_id and each["State"] == "available"
        for each in attachments
    ):
        raise Refused(f"InvalidTransitGatewayID.NotFound: {vpc_id} is not attached to {gateway_id}")


def subnet_unused(aws: Account, subnet_id: str) -> None:
    users = [
        f"network interface {each['NetworkInterfaceId']}"
        for each in aws.client("ec2").describe_network_interfaces(
            Filters=[{"Name": "subnet-id", "Values": [subnet_id]}]
        )["NetworkInterfaces"]
    ]
    users += [
        f"VPC endpoint {each['VpcEndpointId']}"
        for each in _endpoints(aws)
        if subnet_id in each.get("SubnetIds", [])
    ]
    users += [
        f"transit gateway attachment {each['TransitGatewayAttachmentId']}"
        for each in _attachments(aws)
        if subnet_id in each.get("SubnetIds", [])
    ]
    for cluster in _clusters(aws):
        if subnet_id in cluster["resourcesVpcConfig"].get("subnetIds", []):
            users.append(f"EKS cluster {cluster['name']}")
        users += [
            f"EKS node group {group['nodegroupName']}"
            for group in _node_groups(aws, cluster["name"])
            if subnet_id in group.get("subnets", [])
        ]
    users += [
        f"DB instance {each['DBInstanceIdentifier']}"
        for each in _db_instances(aws)
        if subnet_id in [s["SubnetIdentifier"] for s in each.get("DBSubnetGroup", {}).get("Subnets", [])]
    ]
    in_groups = {
        name
        for name, group in aws.all("aws:elasticache/subnetGroup:SubnetGroup").items()
        if subnet_id in group["subnetIds"]
    }
    users += [
        f"cache {name}" for name, group in _caches(aws).items() if group.get("subnetGroupName") in in_groups
    ]
    _nothing_uses(
        users, f"DependencyViolation: the subnet {subnet_id} has dependencies and cannot be deleted"
    )


def security_group_unused(aws: Account, group_id: str) -> None:
    ec2 = aws.client("ec2")
    users = [
        f"security group {each['GroupId']}"
        for each in ec2.describe_security_groups()["SecurityGroups"]
        if each["GroupId"] != group_id
        and any(
            pair.get("GroupId") == group_id
            for permission in each["IpPermissions"] + each["IpPermissionsEgress"]
            for pair in permission.get("UserIdGroupPairs", [])
        )
    ]
    users += [
        f"VPC endpoint {each['VpcEndpointId']}"
        for each in _endpoints(aws)
        if group_id in [group["GroupId"] for group in each.get("Groups", [])]
    ]
    users += [
        f"network interface {each['NetworkInterfaceId']}"
        for each in ec2.describe_network_interfaces()["NetworkInterfaces"]
        if group_id in [group["GroupId"] for group in each.get("Groups", [])]
    ]
    users += [
        f"DB instance {each['DBInstanceIdentifier']}"
        for each in _db_instances(aws)
        if group_id in [group["VpcSecurityGroupId"] for group in each.get("VpcSecurityGroups", [])]
    ]
    users += [
        f"cache {name}"
        for name, group in _caches(aws).items()
        if group_id in group.get("securityGroupIds", [])
    ]
    users += [
        f"EKS cluster {cluster['name']}"
        for cluster in _clusters(aws)
        if group_id in cluster["resourcesVpcConfig"].get("securityGroupIds", [])
    ]
    _nothing_uses(users, f"DependencyViolation: resource {group_id} has a dependent object")


def vpc_unused(aws: Account, vpc_id: str) -> None:
    ec2 = aws.client("ec2")
    inside = [{"Name": "vpc-id", "Values": [vpc_id]}]
    users = [f"subnet {each['SubnetId']}" for each in ec2.describe_subnets(Filters=inside)["Subnets"]]
    users += [
        f"security group {each['GroupId']}"
        for each in ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
        if each["GroupName"] != "default"
    ]
    users += [f"VPC endpoint {each['VpcEndpointId']}" for each in _endpoints(aws) if each["VpcId"] == vpc_id]
    users += [
        f"route table {each['RouteTableId']}"
        for each in ec2.describe_route_tables(Filters=inside)["RouteTables"]
        if not any(association.get("Main") for association in each["Associations"])
    ]
    users += [
        f"transit gateway attachment {each['TransitGatewayAttachmentId']}"
        for each in _attachments(aws)
        if each["VpcId"] == vpc_id
    ]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    users += [
        f"internet gateway {each['InternetGatewayId']}"
        for each in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    ]
    _nothing_uses(users, f"DependencyViolation: the vpc {vpc_id} has dependencies and cannot be deleted")


def launch_template_unused(aws: Account, template_id: str, name: str) -> None:
    """Stricter: AWS deletes it, and the node group can neither scale nor heal from then on."""
    users = [
        f"EKS node group {group['nodegroupName']}"
        for cluster in _clusters(aws)
        for group in _node_groups(aws, cluster["name"])
        if template_id == group.get("launchTemplate", {}).get("id")
        or name == group.get("launchTemplate", {}).get("name")
    ]
    _nothing_uses(users, f"the launch template {template_id} is in use")


def cluster_unused(aws: Account, name: str) -> None:
    """Node groups as in AWS. Stricter: add-ons and pod identities too, which AWS deletes with the cluster."""
    users = [f"node group {group['nodegroupName']}" for group in _node_groups(aws, name)]
    for kind, word in (
        ("aws:eks/addon:Addon", "add-on"),
        ("aws:eks/podIdentityAssociation:PodIdentityAssociation", "pod identity association"),
    ):
        users += [f"{word} {key}" for key, kept in aws.all(kind).items() if kept["clusterName"] == name]
    _nothing_uses(users, f"ResourceInUseException: the cluster {name} has something attached")


def key_unused(aws: Account, key_id: str) -> None:
    """Stricter: AWS schedules the deletion, and what was encrypted with the key is lost."""

    def of_this_key(key: Any) -> bool:
        return isinstance(key, str) and key_id_of(key) == key_id

    users = [
        f"DB instance {each['DBInstanceIdentifier']}"
        for each in _db_instances(aws)
        if of_this_key(each.get("KmsKeyId"))
    ]
    users += [
        f"EKS cluster {cluster['name']}"
        for cluster in _clusters(aws)
        for part in cluster.get("encryptionConfig") or []
        if of_this_key(part.get("provider", {}).get("keyArn"))
    ]
    users += [f"cache {name}" for name, group in _caches(aws).items() if of_this_key(group.get("kmsKeyId"))]
    users += [
        f"secret {each['Name']}"
        for each in aws.client("secretsmanager").list_secrets()["SecretList"]
        if of_this_key(each.get("KmsKeyId"))
    ]
    users += [
        f"log group {each['logGroupName']}"
        for each in aws.client("logs").describe_log_groups()["logGroups"]
        if of_this_key(each.get("kmsKeyId"))
    ]
    _nothing_uses(users, f"the key {key_id} still encrypts something")


def db_subnet_group_unused(aws: Account, name: str) -> None:
    users = [
        f"DB instance {each['DBInstanceIdentifier']}"
        for each in _db_instances(aws)
        if each.get("DBSubnetGroup", {}).get("DBSubnetGroupName") == name
    ]
    _nothing_uses(users, f"InvalidDBSubnetGroupStateFault: the subnet group {name} is still in use")


def db_parameter_group_unused(aws: Account, name: str) -> None:
    users = [
        f"DB instance {each['DBInstanceIdentifier']}"
        for each in _db_instances(aws)
        if name in [group["DBParameterGroupName"] for group in each.get("DBParameterGroups", [])]
    ]
    _nothing_uses(
        users, f"InvalidDBParameterGroupState: one or more instances use the parameter group {name}"
    )


def cache_part_unused(aws: Account, field: str, name: str, code: str) -> None:
    """A subnet, parameter or user group; `field` is where a replication group names it."""
    users = []
    for cache, group in _caches(aws).items():
        named = group.get(field)
        if name == named or (isinstance(named, list) and name in named):
            users.append(f"cache {cache}")
    _nothing_uses(users, f"{code}: {name} is in use")


def policy_unattached(aws: Account, policy_arn: str) -> None:
    entities = aws.client("iam").list_entities_for_policy(PolicyArn=policy_arn)
    users = [f"role {each['RoleName']}" for each in entities["PolicyRoles"]]
    users += [f"user {each['UserName']}" for each in entities["PolicyUsers"]]
    _nothing_uses(users, f"DeleteConflict: cannot delete a policy attached to entities: {policy_arn}")


def role_bare(aws: Account, name: str) -> None:
    iam = aws.client("iam")
    users = [
        f"attached policy {each['PolicyArn']}"
        for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    ]
    users += [f"inline policy {each}" for each in iam.list_role_policies(RoleName=name)["PolicyNames"]]
    _nothing_uses(users, f"DeleteConflict: cannot delete the role {name}, detach its policies first")


def _nothing_uses(users: list[str], sentence: str) -> None:
    if users:
        raise Refused(f"{sentence}: {', '.join(users)}")


def _endpoints(aws: Account) -> list[dict[str, Any]]:
    listed = aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return [each for each in listed if not endpoint_is_gone(each)]


def _attachments(aws: Account) -> list[dict[str, Any]]:
    listed = aws.client("ec2").describe_transit_gateway_vpc_attachments()["TransitGatewayVpcAttachments"]
    return [each for each in listed if each["State"] not in ("deleted", "deleting")]


def _clusters(aws: Account) -> list[dict[str, Any]]:
    eks = aws.client("eks")
    return [eks.describe_cluster(name=name)["cluster"] for name in eks.list_clusters()["clusters"]]


def _node_groups(aws: Account, cluster: str) -> list[dict[str, Any]]:
    eks = aws.client("eks")
    return [
        eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
        for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    ]


def _db_instances(aws: Account) -> list[dict[str, Any]]:
    instances: list[dict[str, Any]] = aws.client("rds").describe_db_instances()["DBInstances"]
    return instances


def _caches(aws: Account) -> dict[str, Values]:
    """Replication groups with the fields that moto does not show, as the handler kept them."""
    listed = aws.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    kept = aws.all("forgotten:aws:elasticache/replicationGroup:ReplicationGroup")
    return {each["ReplicationGroupId"]: kept.get(each["ReplicationGroupId"], {}) for each in listed}
