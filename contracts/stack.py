"""What the control plane asks of a target program, and what the program answers.

A target's program is a pure function of its StackSpec (design.md section 5): whatever it would have to look
up, a free port or a zone, is decided by the control plane beforehand and pinned here.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Contract
from contracts.placement import AwsPlacement, CapacityType, KubernetesPlacement, LocalPlacement
from contracts.runtime import RuntimeConfig

#: A tenant's slug: also a DNS label (RFC 1123), so that it may name hosts, namespaces and directories.
SLUG_PATTERN = r"^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])$"
Slug = Annotated[str, Field(pattern=SLUG_PATTERN, min_length=2, max_length=40)]


class PostgresSize(Contract):
    """`instance_class`, `storage_gb` and `high_availability` (a standby in a second zone) matter in clouds;
    in a cluster of ours the memory follows from buffers and connections."""

    max_connections: Annotated[int, Field(ge=10, le=1000)] = 50
    shared_buffers_mb: Annotated[int, Field(ge=8, le=65536)] = 16
    storage_gb: Annotated[int, Field(ge=20, le=65536)] = 20
    instance_class: str = "db.t4g.medium"
    high_availability: bool = False


class CacheSize(Contract):
    """`node_type` and `replicas` (copies in other zones, which take over) matter in clouds."""

    max_memory_mb: Annotated[int, Field(ge=8, le=1048576)] = 64
    node_type: str = "cache.t4g.small"
    replicas: Annotated[int, Field(ge=0, le=5)] = 0


VectorStoreKind = Literal["pgvector", "weaviate", "qdrant"]


class VectorStoreSize(Contract):
    """`kind` None is the target's usual one: pgvector on this machine, Weaviate in clusters."""

    kind: VectorStoreKind | None = None
    max_connections: Annotated[int, Field(ge=10, le=1000)] = 30
    shared_buffers_mb: Annotated[int, Field(ge=8, le=65536)] = 16
    memory_mb: Annotated[int, Field(ge=256, le=1048576)] = 1024
    storage_gb: Annotated[int, Field(ge=1, le=65536)] = 20


class GpuSize(Contract):
    """`count` is what the plan asks for; a machine without GPUs yields none, and the outputs say so.

    In AWS they come as whole machines of `instance_type`, from the capacity reservation when one is named.
    """

    count: Annotated[int, Field(ge=0, le=64)] = 0
    instance_type: str = "g6.xlarge"
    capacity: CapacityType = "on_demand"
    capacity_reservation_id: Annotated[str | None, Field(pattern=r"^cr-[0-9a-f]{8,17}$")] = None


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
    teardown: bool = False
    """The stack is about to be destroyed: deletion protection is off, and what holds data may go with it."""
    local: LocalPlacement | None = None
    kubernetes: KubernetesPlacement | None = None
    aws: AwsPlacement | None = None

    @property
    def qualified_stack_name(self) -> str:
        """The name as the DIY backends want it: the organization is literally `organization`."""
        return f"organization/{self.project}/{self.stack_name}"


class StackSecrets(Contract):
    """Credentials the control plane makes; a program turns them into Pulumi secrets at once."""

    usage_token: Annotated[str, Field(repr=False)]
    runtime_admin_key: Annotated[str, Field(repr=False)]
    model_api_key: Annotated[str | None, Field(repr=False)] = None
    runtime_token_keys: str | None = None
    """The public keys (JWKS) with which the runtime checks tokens that the control plane signed."""
    runtime_storage_keys: Annotated[str | None, Field(repr=False)] = None
    """What the runtime seals its state with, as RUNTIME_ENCRYPTION_KEYS has it."""
    runtime_webhook_secret: Annotated[str | None, Field(repr=False)] = None
    """What the runtime signs its webhooks with, as RUNTIME_WEBHOOK_SECRET has it."""
    password_seed: Annotated[str | None, Field(repr=False, min_length=32)] = None
    """From which a program derives the passwords of the parts it makes itself (stacks/components/passwords.py)."""

    def each(self) -> list[str]:
        """Every secret by itself, for what keeps them out of texts."""
        keys = [entry.rpartition(":")[2] for entry in (self.runtime_storage_keys or "").split(",")]
        whole = [value for value in self.model_dump().values() if value]
        return [*whole, *filter(None, keys), *filter(None, (self.runtime_webhook_secret or "").split(","))]


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
