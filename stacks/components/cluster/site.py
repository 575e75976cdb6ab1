"""Whose the objects of a cluster are, and what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from contracts.names import name_of
from contracts.placement import ClusterSettings

#: Label of every object, and key of the taint and the label of the tenant's GPU nodes.
TENANT_LABEL = "freehold.dev/tenant"
GPU_RESOURCE = "nvidia.com/gpu"
#: Uid of every process: no image of ours needs root, and PodSecurity `restricted` lets none have it.
USER_ID = 10001

Manifest = dict[str, Any]


@dataclass(frozen=True)
class ClusterSite:
    """The tenant's namespace in the cluster that `provider` reaches."""

    slug: str
    plan: str
    settings: ClusterSettings
    provider: pulumi.ProviderResource
    credentials: int
    suspended: bool = False

    @property
    def namespace(self) -> str:
        return name_of(self.slug)

    def labels(self, part: str) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": part,
            "app.kubernetes.io/part-of": "freehold",
            TENANT_LABEL: self.slug,
            "freehold.dev/plan": self.plan,
        }

    def selector(self, part: str) -> dict[str, str]:
        """What of the labels never changes: a plan may."""
        return {"app.kubernetes.io/name": part, TENANT_LABEL: self.slug}

    def metadata(
        self, name: str, part: str | None = None, *, annotations: Mapping[str, str] | None = None
    ) -> Manifest:
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(part or name),
            **({"annotations": dict(annotations)} if annotations else {}),
        }

    def host(self, service: str) -> str:
        return f"{service}.{self.namespace}.svc.cluster.local"

    def options(
        self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi.ResourceOptions:
        """For an object of the cluster below its component."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider, depends_on=list(depends_on))

    @property
    def rollout_annotations(self) -> dict[str, str]:
        """Pods start anew with a new generation of passwords: they read them when they start."""
        return {"freehold.dev/credentials": str(self.credentials)}
