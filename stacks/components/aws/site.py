"""Whose the resources of an account are, and what they have in common."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from contracts.names import name_of
from contracts.placement import AwsPlacement

TENANT_TAG = "freehold:tenant"


@dataclass(frozen=True)
class AwsSite:
    slug: str
    plan: str
    stack: str
    tenant_id: str
    region: str
    place: AwsPlacement
    provider: pulumi.ProviderResource
    suspended: bool = False
    teardown: bool = False
    """The stack is about to be destroyed: what protects data from a mistake is taken off beforehand."""

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def domain(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def name(self, *parts: str, limit: int = 63) -> str:
        return name_of(self.slug, *parts, limit=limit)

    def tags(self, name: str) -> dict[str, str]:
        return {
            "Name": name,
            TENANT_TAG: self.slug,
            "freehold:stack": self.stack,
            "freehold:plan": self.plan,
            "freehold:cost-center": self.place.cost_center,
        }

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        region = self.region if regional else ""
        return f"arn:{self.partition}:{service}:{region}:{self.place.account_id}:{resource}"

    def managed_policy(self, name: str) -> str:
        return f"arn:{self.partition}:iam::aws:policy/{name}"

    def options(
        self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = (), **more: Any
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=parent, provider=self.provider, depends_on=list(depends_on), **more
        )


def statement(
    actions: Sequence[str], resources: Any, *, condition: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    given = {"Effect": "Allow", "Action": list(actions), "Resource": resources}
    return {**given, "Condition": dict(condition)} if condition else given


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(service: str, *actions: str) -> str:
    """The document by which a service may act as a role."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": list(actions or ("sts:AssumeRole",)),
        }
    )
