"""What Kubernetes' controllers leave in a tenant's VPC: balancers, network interfaces, security groups, volumes.

Each is found by a tag that names this tenant or its cluster, never by the VPC alone; and only what nobody uses goes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from contracts.names import name_of
from contracts.stack import StackSpec
from stacks.components.aws.site import TENANT_TAG
from stacks.sweeps.session import LIMITS, account_session

#: Refusals that say "it is in use yet" or "it is gone": the next attempt sees.
_NOT_YET = ("DependencyViolation", "InvalidNetworkInterface.InUse", "VolumeInUse", "ResourceInUse")
_GONE = (
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidGroup.NotFound",
    "InvalidVolume.NotFound",
    "LoadBalancerNotFound",
)


def aws_sweep(spec: StackSpec) -> list[str]:
    """Removes what is left and says what that was. Balancers first: they hold interfaces, and these hold groups."""
    session = account_session(spec)
    ec2 = session.client("ec2", config=LIMITS)
    balancers = session.client("elbv2", config=LIMITS)
    removed = []
    for sentence, remove in [
        *_balancers(balancers, spec.slug),
        *_interfaces(ec2, spec.slug),
        *_groups(ec2, spec.slug),
        *_volumes(ec2, spec.slug),
    ]:
        if _gone(remove):
            removed.append(sentence)
    return removed


def _gone(remove: Callable[[], Any]) -> bool:
    try:
        remove()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in _NOT_YET:
            return False
        if code not in _GONE:
            raise
    return True


Found = Iterator[tuple[str, Callable[[], Any]]]


def _balancers(client: Any, slug: str) -> Found:
    found = [
        each
        for page in client.get_paginator("describe_load_balancers").paginate()
        for each in page["LoadBalancers"]
    ]
    for first in range(0, len(found), 20):  # as many as one call describes
        arns = [each["LoadBalancerArn"] for each in found[first : first + 20]]
        for described in client.describe_tags(ResourceArns=arns)["TagDescriptions"]:
            arn = described["ResourceArn"]
            if _belongs(described["Tags"], slug):
                yield f"load balancer {arn}", partial(client.delete_load_balancer, LoadBalancerArn=arn)


def _interfaces(client: Any, slug: str) -> Found:
    """Of the CNI plugin, which tags them with its cluster: those that no machine holds any more."""
    wanted = [{"Name": "status", "Values": ["available"]}]
    for page in client.get_paginator("describe_network_interfaces").paginate(Filters=wanted):
        for each in page["NetworkInterfaces"]:
            identity = each["NetworkInterfaceId"]
            if _belongs(each.get("TagSet", []), slug):
                yield (
                    f"network interface {identity}",
                    partial(client.delete_network_interface, NetworkInterfaceId=identity),
                )


def _groups(client: Any, slug: str) -> Found:
    """Made by EKS or for a balancer; ours are the program's to delete."""
    for page in client.get_paginator("describe_security_groups").paginate():
        for each in page["SecurityGroups"]:
            names = {tag["Key"] for tag in each.get("Tags", [])}
            if TENANT_TAG in names or each["GroupName"] == "default":
                continue
            identity = each["GroupId"]
            if _belongs(each.get("Tags", []), slug):
                yield (
                    f"security group {identity}",
                    partial(client.delete_security_group, GroupId=identity),
                )


def _volumes(client: Any, slug: str) -> Found:
    wanted = [
        {"Name": "status", "Values": ["available"]},
        {"Name": f"tag:{TENANT_TAG}", "Values": [slug]},
    ]
    for page in client.get_paginator("describe_volumes").paginate(Filters=wanted):
        for each in page["Volumes"]:
            identity = each["VolumeId"]
            yield f"volume {identity}", partial(client.delete_volume, VolumeId=identity)


def _belongs(tags: list[dict[str, str]], slug: str) -> bool:
    """By the tenant's own tag, or by those that controllers give what they make for its cluster."""
    said = {tag["Key"]: tag["Value"] for tag in tags}
    cluster = name_of(slug)
    return (
        said.get(TENANT_TAG) == slug
        or said.get(f"kubernetes.io/cluster/{cluster}") == "owned"
        or said.get("aws:eks:cluster-name") == cluster
        or said.get("cluster.k8s.amazonaws.com/name") == cluster
    )
