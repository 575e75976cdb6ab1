"""The tenant's GPUs: its own alone, or none, which is said."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pulumi

from contracts.stack import BillableResource, ComponentOutput, GpuSize
from stacks.components.local_resources import GpuAllocation, LocalSite


@dataclass(frozen=True)
class GpuPoolArgs:
    size: GpuSize
    suspended: bool = False
    """Gives all back."""

    @property
    def wanted(self) -> int:
        return 0 if self.suspended else self.size.count


class LocalGpuPool(pulumi.ComponentResource):
    """GPUs of this machine, assigned exclusively. `gpus` lists uuid, index, name and memory_mb of each."""

    gpus: pulumi.Output[list[dict[str, Any]]]
    note: pulumi.Output[str]
    since: pulumi.Output[str | None]

    def __init__(
        self, name: str, args: GpuPoolArgs, site: LocalSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:local:GpuPool", name, None, opts)
        self._args = args
        allocation = GpuAllocation(
            f"{name}-allocation",
            {
                "tenant": site.tenant,
                "registry_dir": site.placement.gpu_registry_dir,
                "count": args.wanted,
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.gpus, self.note, self.since = allocation.gpus, allocation.note, allocation.since
        self.register_outputs({"gpus": self.gpus, "note": self.note})

    def describe(self, gpus: list[dict[str, Any]], note: str) -> ComponentOutput:
        names = ", ".join(sorted({str(gpu["name"]) for gpu in gpus}))
        summary = f"{len(gpus)} x {names}" if gpus else "no GPU"
        if self._args.suspended and self._args.size.count:
            note = f"suspended; {self._args.size.count} wanted when resumed"
        return ComponentOutput(
            name="gpu_pool",
            kind="gpu_pool",
            summary=f"{summary} ({note})" if note else summary,
            details={"wanted": self._args.size.count, "assigned": len(gpus), "note": note or None},
        )


def gpu_billable(gpus: list[dict[str, Any]], since: datetime | None) -> list[BillableResource]:
    """One a GPU really assigned; its slot is its index on the machine, which no other GPU has."""
    return [
        BillableResource(
            meter="gpu_hours",
            slot=int(gpu["index"]),
            resource=str(gpu["uuid"]),
            dimensions={"model": str(gpu["name"])},
            since=since,
        )
        for gpu in gpus
    ]
