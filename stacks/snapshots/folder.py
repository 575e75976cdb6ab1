"""A snapshot's folder: written beside as `*.partial`, synced, and renamed when it is whole."""

import hashlib
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from contracts.snapshot import PARTIAL, SnapshotManifest
from embedded.crashpoints import crash_point
from stacks.snapshots.errors import SnapshotCorrupt
from stacks.snapshots.sealing import file_sha256

MANIFEST = "manifest.json"


def partial_make(folder: Path) -> Path:
    """An empty folder to write into; what a killed attempt left of it is gone."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    return partial


def partial_finish(partial: Path, folder: Path, manifest: SnapshotManifest) -> str:
    """Writes the manifest and gives the folder its name; the manifest's SHA-256. Before, there is no snapshot."""
    text = (manifest.model_dump_json(indent=1) + "\n").encode()
    descriptor = os.open(partial / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync(partial)
    crash_point("snapshot.written")
    # An older one of the same id is a killed attempt's whose end was never told: the newer one stands.
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    _sync(folder.parent)
    crash_point("snapshot.named")
    return hashlib.sha256(text).hexdigest()


def manifest_read(folder: Path, *, sha256: str = "") -> tuple[SnapshotManifest, str]:
    """The manifest and its SHA-256; with `sha256` it must be that one. SnapshotCorrupt otherwise."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise SnapshotCorrupt(f"{MANIFEST} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(text).hexdigest()
    if sha256 and found != sha256:
        raise SnapshotCorrupt(f"{MANIFEST} is not the one that was written when the snapshot was taken.")
    try:
        return SnapshotManifest.model_validate_json(text), found
    except ValidationError as error:
        raise SnapshotCorrupt(
            f"{MANIFEST} cannot be understood by this version: {error.error_count()} fields."
        ) from error


def files_check(folder: Path, manifest: SnapshotManifest) -> None:
    """Every file is there with its checksum. SnapshotCorrupt names the first that is not."""
    for file in manifest.files:
        if file_sha256(folder / file.name) != file.sha256:
            raise SnapshotCorrupt(f"{file.name} does not have the checksum of the manifest.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
