"""What a snapshot of a tenant's data is, and the work on data that a runner is asked for."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract

#: What the folder of a snapshot is called while it is being written: its own name, and this.
PARTIAL = ".partial"

Component = Literal["postgres", "vector_store", "cache"]


class TableFacts(Contract):
    """`digest` is the same for the same rows, in whatever order they lie."""

    rows: int
    digest: str


class StoreFile(Contract):
    """One sealed file of a snapshot: the content of one store at one moment."""

    name: str
    component: Component
    bytes: int
    """Size of the sealed file."""
    sha256: str
    """Of the sealed file, so that it can be checked without the key."""
    items: int
    """Rows of all tables, or keys."""
    tables: dict[str, TableFacts] = {}
    """Empty for the cache, whose records carry a digest each."""


class SnapshotManifest(Contract):
    """Written last; a folder without it, or with another name, is no snapshot."""

    schema_version: Literal[1] = 1
    snapshot_id: UUID
    tenant_id: UUID
    tenant: str
    taken_at: datetime
    versions: dict[str, str]
    files: list[StoreFile]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class DataJob(Contract):
    """Work on a tenant's data. `final` is what a deprovision does before it destroys anything.

    `folder` is the snapshot's own folder; `scratch` a folder that only this run uses, for throw-away servers.
    """

    verb: Literal["snapshot", "restore", "final"]
    restore_id: UUID
    """The operation: a restore that is repeated under the same id is carried out once."""
    snapshot_id: UUID | None
    folder: str
    key: Annotated[str, Field(repr=False)] = ""
    """32 bytes in base64, this snapshot's alone."""
    scratch: str
    manifest_sha256: str = ""
    """What the control plane remembers of a snapshot that is restored."""
    settle: bool = True
    """`final`: end the runtime and deliver its usage; False where that is done, or there is none."""
    unsettled_reason: str = "Nothing is left to settle."
    """`final`: what is said where `settle` is False."""
    skip_reason: str = ""
    """`final`: why no snapshot is taken; empty when one is."""
