"""What of a cluster's stack costs by the hour, from its spec or from its exported state."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.stack import BillableResource, Existing
from stacks.components.cluster.pods import VERSION_LABEL
from stacks.components.cluster.site import GPU_RESOURCE
from stacks.components.cluster.tenant import RUNTIME
from stacks.reading import at

_WORKLOADS = ("kubernetes:apps/v1:StatefulSet", "kubernetes:apps/v1:Deployment")


def stores_billable(stores: Mapping[str, int]) -> list[BillableResource]:
    """`stores`: name of the part -> its slot."""
    return [
        BillableResource(
            meter="database_hours",
            slot=slot,
            resource=name,
            dimensions={"component": name.replace("-", "_")},
        )
        for name, slot in stores.items()
    ]


def cluster_billable(gpus: int, *, suspended: bool, model: str) -> list[BillableResource]:
    """The runtime and the GPUs, both of which a suspension ends. `model` is the GPU's or its machine's name."""
    if suspended:
        return []
    return [
        BillableResource(meter="runtime_hours", slot=0, resource=RUNTIME),
        *(
            BillableResource(
                meter="gpu_hours", slot=slot, resource=f"gpu-{slot}", dimensions={"model": model}
            )
            for slot in range(gpus)
        ),
    ]


def existing_of(resources: Sequence[Mapping[str, Any]], stores: Mapping[str, int]) -> Existing:
    """By the objects in an exported state. A store that is in no state costs nothing."""
    workloads = {
        str(at(resource, "inputs", "metadata", "name")): resource
        for resource in resources
        if resource.get("type") in _WORKLOADS
    }
    found = stores_billable({name: slot for name, slot in stores.items() if name in workloads})
    runtime = workloads.get(RUNTIME)
    if runtime is not None and at(runtime, "inputs", "spec", "replicas") != 0:
        found += cluster_billable(_gpus(resources), suspended=False, model=GPU_RESOURCE)
    version = at(runtime, "inputs", "spec", "template", "metadata", "labels", VERSION_LABEL)
    return Existing(billable=found, program_version=version if isinstance(version, str) else None)


def _gpus(resources: Sequence[Mapping[str, Any]]) -> int:
    """What the namespace's quota lets its pods hold: the nodes are the tenant's, whether a model runs or not."""
    for resource in resources:
        if resource.get("type") == "kubernetes:core/v1:ResourceQuota":
            return int(at(resource, "inputs", "spec", "hard", f"requests.{GPU_RESOURCE}") or 0)
    return 0
