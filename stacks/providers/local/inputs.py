"""What each resource type takes. The same values, without secrets, are kept in the unit's file."""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from contracts.base import Contract
from contracts.placement import Port
from contracts.stack import Slug

DatabaseName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Generation = Annotated[int, Field(ge=1, le=1_000_000)]
Secret = Annotated[str | None, Field(repr=False, min_length=1)]


def runtime_module() -> str:
    """The module that serves the runtime; a machine may run another one in its place."""
    return os.environ.get("FREEHOLD_RUNTIME_MODULE", "tenant_runtime")


class Inputs(Contract):
    # Errors go to logs and screens, so they name the property and not its value.
    model_config = ConfigDict(hide_input_in_errors=True)

    SECRETS: ClassVar[frozenset[str]] = frozenset()
    """Inputs that are never written into the unit's file."""

    tenant: Slug

    def plain(self) -> dict[str, Any]:
        """JSON-able values without secrets and without what was not given."""
        return self.model_dump(mode="json", exclude=set(self.SECRETS), exclude_none=True)


class DirectoryInputs(Inputs):
    data_dir: str

    @field_validator("data_dir")
    @classmethod
    def _belongs_to_the_tenant(cls, value: str, info: ValidationInfo) -> str:
        """Deleting the resource removes this folder, so a slip must not name somebody else's."""
        if not os.path.isabs(value) or os.path.normpath(value) != value:
            raise ValueError("must be an absolute path without `..` or doubled slashes")
        slug = info.data.get("tenant")
        if slug is not None and slug not in Path(value).parts:
            raise ValueError(f"must lie in a folder named after the tenant ({slug})")
        return value


class UnitInputs(DirectoryInputs):
    component: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    port: Port


class PostgresInputs(UnitInputs):
    version: Literal["16"] = "16"
    database: DatabaseName = "agents"
    owner: DatabaseName = "agents"
    max_connections: Annotated[int, Field(ge=10, le=1000)] = 50
    shared_buffers_mb: Annotated[int, Field(ge=8, le=65536)] = 16
    credentials: Generation = 1
    extensions: tuple[Literal["vector"], ...] = ()


class RedisInputs(UnitInputs):
    version: Literal["6.2"] = "6.2"
    max_memory_mb: Annotated[int, Field(ge=8, le=1048576)] = 64
    persist: bool = True
    credentials: Generation = 1


class RuntimeInputs(UnitInputs):
    SECRETS = frozenset(
        {
            "database_url",
            "redis_url",
            "vector_url",
            "admin_key",
            "usage_token",
            "model_api_key",
            "token_keys",
            "storage_keys",
            "webhook_secret",
        }
    )

    version: str
    python: Annotated[str | None, Field(pattern=r"^/")] = None
    module: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")] = Field(
        default_factory=runtime_module
    )
    replica: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")] = "r0"
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    manifest: str | None = None
    model: str = "offline-rules-1"
    model_base_url: str | None = None
    usage_url: str | None = None
    gpus: tuple[str, ...] = ()
    suspended: bool = False
    database_url: Secret = None
    redis_url: Secret = None
    vector_url: Secret = None
    admin_key: Secret = None
    usage_token: Secret = None
    model_api_key: Secret = None
    token_keys: Secret = None
    storage_keys: Secret = None
    webhook_secret: Secret = None


class RetirementInputs(Inputs):
    folders: tuple[str, ...]
    credentials: Generation = 1

    @field_validator("folders")
    @classmethod
    def _belong_to_the_tenant(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        slug = info.data.get("tenant")
        if any(not os.path.isabs(folder) or slug not in Path(folder).parts for folder in value):
            raise ValueError(f"must lie in a folder named after the tenant ({slug})")
        return value


class GpuInputs(Inputs):
    registry_dir: str
    count: Annotated[int, Field(ge=0, le=64)] = 0

    @field_validator("registry_dir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not os.path.isabs(value):
            raise ValueError("must be an absolute path")
        return value
