"""The provider `local`'s resource types as typed Pulumi resources (it has no generated SDK)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from contracts.placement import LocalPlacement
from contracts.stack import StackSpec
from stacks.errors import TargetUnknown


@dataclass(frozen=True)
class LocalSite:
    """Where a tenant lives on this machine."""

    tenant: str
    placement: LocalPlacement
    credentials: int = 1
    """Generation of all the tenant's passwords."""

    @classmethod
    def of(cls, spec: StackSpec) -> "LocalSite":
        if spec.local is None:
            raise TargetUnknown(
                f"the spec of tenant {spec.slug} has no `local` placement: the target local needs its "
                "data_dir and ports"
            )
        return cls(tenant=spec.slug, placement=spec.local, credentials=spec.credentials)

    def folder(self, part: str) -> str:
        return str(Path(self.placement.data_dir) / part)


class DataDirectory(pulumi.CustomResource):
    def __init__(self, name: str, site: LocalSite, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {"tenant": site.tenant, "data_dir": site.placement.data_dir}
        super().__init__("local:index:DataDirectory", name, inputs, opts)


class PostgresServer(pulumi.CustomResource):
    url: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        # An output is readable only when named among the properties.
        super().__init__("local:index:PostgresServer", name, {**inputs, "url": None}, opts)


class RedisServer(pulumi.CustomResource):
    url: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__("local:index:RedisServer", name, {**inputs, "url": None}, opts)


class CredentialRetirement(pulumi.CustomResource):
    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__("local:index:CredentialRetirement", name, inputs, opts)


class GpuAllocation(pulumi.CustomResource):
    gpus: pulumi.Output[list[dict[str, Any]]]
    note: pulumi.Output[str]
    since: pulumi.Output[str | None]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        outputs = {"gpus": None, "note": None, "since": None}
        super().__init__("local:index:GpuAllocation", name, {**inputs, **outputs}, opts)


class RuntimeProcess(pulumi.CustomResource):
    url: pulumi.Output[str]
    since: pulumi.Output[str | None]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__("local:index:RuntimeProcess", name, {**inputs, "url": None, "since": None}, opts)
