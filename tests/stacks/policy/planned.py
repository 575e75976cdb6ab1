"""Plans to judge: a spec and resources with just the inputs that matter."""

from typing import Any
from uuid import UUID

from contracts.planned import PlannedResource, ResourceOp
from contracts.runtime import RuntimeConfig
from contracts.stack import GpuSize, StackSpec
from stacks.policy.model import Planned

TAGS = {"freehold:tenant": "acme"}
LABELS = {"freehold.dev/tenant": "acme"}


def spec(gpus: int = 1) -> StackSpec:
    return StackSpec(
        tenant_id=UUID(int=1),
        slug="acme",
        stack_name="acme",
        target="aws",
        region="eu-central-1",
        plan="pro",
        gpu=GpuSize(count=gpus),
        runtime=RuntimeConfig(version="1.0.0"),
    )


def resource(
    type_name: str, /, name: str = "it", op: ResourceOp = "create", before: Any = None, **after: Any
) -> PlannedResource:
    gone = op == "delete"
    return PlannedResource(
        urn=f"urn:pulumi:acme::freehold::{type_name}::{name}",
        type=type_name,
        name=name,
        op=op,
        before=before,
        after=None if gone else after,
    )


def planned(*resources: PlannedResource, gpus: int = 1) -> Planned:
    return Planned(spec=spec(gpus), resources=resources)


def workload(kind: str = "Deployment", /, **pod: Any) -> PlannedResource:
    """A workload of one container; `container` adds to the container, the rest to the pod's spec."""
    digest = "sha256:" + "0" * 64
    container = {"name": "main", "image": f"example/app@{digest}", **pod.pop("container", {})}
    replicas = pod.pop("replicas", None)
    metadata = {"name": "app", "labels": LABELS, **pod.pop("metadata", {})}
    body = {"template": {"spec": {"containers": [container], **pod}}}
    if replicas is not None:
        body["replicas"] = replicas
    return resource(f"kubernetes:apps/v1:{kind}", metadata=metadata, spec=body)
