"""What the control plane asks of a target program, and what the program answers.

A target's program is a pure function of its StackSpec (design.md section 5): whatever it would have to look
up, a free port or a zone, is decided by the control plane beforehand and pinned here.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Contract
from contracts.runtime import RuntimeConfig

Port = Annotated[int, Field(ge=1024, le=65535)]
#: A tenant's slug: also a DNS label (RFC 1123), so that it may name hosts, namespaces and directories.
SLUG_PATTERN = r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])$"
Slug = Annotated[str, Field(pattern=SLUG_PATTERN, min_length=2, max_length=40)]


class PostgresSize(Contract):
    max_connections: Annotated[int, Field(ge=10, le=1000)] = 50
    shared_buffers_mb: Annotated[int, Field(ge=8, le=65536)] = 16


class CacheSize(Contract):
    max_memory_mb: Annotated[int, Field(ge=8, le=1048576)] = 64


class VectorStoreSize(Contract):
    kind: Literal["pgvector"] = "pgvector"
    max_connections: Annotated[int, Field(ge=10, le=1000)] = 30
    shared_buffers_mb: Annotated[int, Field(ge=8, le=65536)] = 16


class GpuSize(Contract):
    """`count` is what the plan asks for; a machine without GPUs yields none, and the outputs say so."""

    count: Annotated[int, Field(ge=0, le=64)] = 0


class LocalPorts(Contract):
    postgres: Port
    cache: Port
    vector_store: Port
    runtime: Port


class LocalPlacement(Contract):
    """Where on this machine the tenant lives. `data_dir` is absolute and belongs to this tenant alone."""

    data_dir: str
    gpu_registry_dir: str
    ports: LocalPorts


class StackSpec(Contract):
    """Everything a target program needs, without secrets (those travel in StackSecrets)."""

    schema_version: Literal[1] = 1
    tenant_id: UUID
    slug: Slug
    project: str = "freehold"
    stack_name: str
    target: str
    region: str
    plan: str
    postgres: PostgresSize = PostgresSize()
    cache: CacheSize = CacheSize()
    vector_store: VectorStoreSize = VectorStoreSize()
    gpu: GpuSize = GpuSize()
    runtime: RuntimeConfig
    labels: dict[str, str] = {}
    credentials: Annotated[int, Field(ge=1)] = 1
    """Generation of the passwords: a new one is valid beside the old until the runtime uses it."""
    suspended: bool = False
    """The databases stay with their data; no runtime runs and no GPU is held."""
    local: LocalPlacement | None = None

    @property
    def qualified_stack_name(self) -> str:
        """The name as the DIY backends want it: the organization is literally `organization`."""
        return f"organization/{self.project}/{self.stack_name}"


class StackSecrets(Contract):
    """Credentials the control plane makes; a program turns them into Pulumi secrets at once."""

    usage_token: Annotated[str, Field(repr=False)]
    runtime_admin_key: Annotated[str, Field(repr=False)]
    model_api_key: Annotated[str | None, Field(repr=False)] = None


class ComponentOutput(Contract):
    """One part of the stack as operators see it."""

    name: str
    kind: Literal["postgres", "cache", "vector_store", "gpu_pool", "runtime"]
    summary: str
    details: dict[str, str | int | bool | None] = {}


Meter = Literal["gpu_hours", "runtime_hours", "database_hours"]


class BillableResource(Contract):
    """Something that exists and costs money while it exists: the executor opens a span for each.

    `slot` tells apart several of a kind (GPU 0, GPU 1); spans of one (tenant, meter, slot) never overlap.
    """

    meter: Meter
    slot: Annotated[int, Field(ge=0)]
    resource: str
    dimensions: dict[str, str] = {}
    since: AwareDatetime | None = None
    """When it began to exist, as the target saw it; None: when the operation was recorded."""


class Existing(Contract):
    """What of a stack costs now, and which release its runtime is, read from its state after an apply that did not
    come to its end."""

    billable: list[BillableResource]
    ended: dict[Meter, AwareDatetime] = {}
    program_version: str | None = None


class StackOutputs(Contract):
    """What a target program exports. Secrets are exported beside these, as Pulumi secrets.

    `ended` says for a meter without billable resources when the last of them ended, as the target saw it.
    """

    schema_version: Literal[1] = 1
    runtime_url: str
    components: list[ComponentOutput]
    billable: list[BillableResource]
    ended: dict[Meter, AwareDatetime] = {}
