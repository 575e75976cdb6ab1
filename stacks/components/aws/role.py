"""Roles that a service of AWS acts as for the tenant."""

import pulumi
import pulumi_aws as aws

from stacks.components.aws.site import AwsSite, trust

#: IAM's own limit on the name of a role.
_NAME_LIMIT = 64
#: What EKS and its pods ask: they tag the session with whose it is.
ASSUME_AND_TAG = ("sts:AssumeRole", "sts:TagSession")


def service_role(
    name: str,
    site: AwsSite,
    parent: pulumi.Resource,
    *,
    part: str,
    service: str,
    actions: tuple[str, ...] = (),
) -> "aws.iam.Role":
    """The role `<tenant>-<part>`, which `service` alone may take; without `actions` by sts:AssumeRole."""
    return aws.iam.Role(
        name,
        name=site.name(part, limit=_NAME_LIMIT),
        assume_role_policy=trust(service, *actions),
        tags=site.tags(site.name(part)),
        opts=site.options(parent),
    )
