"""The one door of a store: its port, for the machines of the tenant's cluster."""

import pulumi
import pulumi_aws as aws

from stacks.components.aws.network import AwsNetwork
from stacks.components.aws.site import AwsSite


def store_door(
    name: str,
    site: AwsSite,
    parent: pulumi.Resource,
    network: AwsNetwork,
    *,
    clients: pulumi.Output[str],
    port: int,
    what: str,
    tags: dict[str, str],
) -> pulumi.Output[str]:
    """A security group that lets the group `clients` in, and nobody else; its id. `what` names the store in words."""
    group = aws.ec2.SecurityGroup(
        f"{name}-group",
        name=site.name(name),
        description=f"The cluster's machines to {what}",
        vpc_id=network.vpc_id,
        tags=tags,
        opts=site.options(parent),
    )
    aws.vpc.SecurityGroupIngressRule(
        f"{name}-from-cluster",
        security_group_id=group.id,
        referenced_security_group_id=clients,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        tags=tags,
        opts=site.options(parent),
    )
    identity: pulumi.Output[str] = group.id
    return identity
