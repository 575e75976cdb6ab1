"""Where snapshots lie on disk, and how they leave it."""

import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings

from contracts.snapshot import PARTIAL


def snapshots_root() -> Path:
    home: Path = settings.FREEHOLD_HOME
    return home / "snapshots"


def snapshot_folder(*, tenant_id: UUID, snapshot_id: UUID) -> Path:
    return snapshots_root() / str(tenant_id) / str(snapshot_id)


def folder_remove(*folders: Path) -> None:
    """Removes folders of one tenant, and the tenant's own when these were the last. What is gone is no error."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        folders[0].parent.rmdir()
    except OSError:
        return  # others are there, or it is gone


def folders_on_disk() -> list[tuple[Path, UUID]]:
    """(folder, snapshot id), whole ones and partial ones."""
    found = []
    for folder in sorted(snapshots_root().glob("*/*")):
        try:
            found.append((folder, UUID(folder.name.removesuffix(PARTIAL))))
        except ValueError:
            continue
    return found
