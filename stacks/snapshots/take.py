"""Takes a snapshot of a running tenant, without holding it up.

Each store is consistent in itself, as of its own moment, and the moments are ordered: the cache first, then the
vector store, the database of runs last. So what the cache remembers of a thread, the database knows.
"""

from collections import deque
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from contracts.snapshot import DataJob, SnapshotManifest, StoreFile
from contracts.stack import StackSpec
from embedded.crashpoints import crash_point
from embedded.postgres import ENGINE_VERSION as POSTGRES_VERSION
from embedded.redis import ENGINE_VERSION as REDIS_VERSION
from stacks.snapshots.cache import cache_dump
from stacks.snapshots.errors import SnapshotFailed
from stacks.snapshots.folder import files_check, manifest_read, partial_finish, partial_make
from stacks.snapshots.postgres import database_dump
from stacks.snapshots.progress import Progress
from stacks.snapshots.sealing import sealed_read
from stacks.snapshots.stores import Stores, stores_of, stores_start

CACHE_FILE = "cache.records"
DUMP_FILES = {"vector_store": "vector_store.dump", "postgres": "postgres.dump"}


def snapshot_take(spec: StackSpec, job: DataJob, progress: Progress) -> tuple[SnapshotManifest, str]:
    """The manifest and its SHA-256, with the snapshot under its name on disk. SnapshotFailed, DataCanceled."""
    assert job.snapshot_id is not None
    stores = stores_of(spec)
    stores_start(stores)
    folder = Path(job.folder)
    try:
        partial = partial_make(folder)
        taken_at = datetime.now(UTC)
        files = _capture(stores, partial, job, progress)
        manifest = SnapshotManifest(
            snapshot_id=job.snapshot_id,
            tenant_id=spec.tenant_id,
            tenant=spec.slug,
            taken_at=taken_at,
            versions={
                "runtime": spec.runtime.version,
                "freehold": version("freehold"),
                "postgres": POSTGRES_VERSION,
                "redis": REDIS_VERSION,
            },
            files=files,
        )
        return manifest, partial_finish(partial, folder, manifest)
    except OSError as error:
        raise SnapshotFailed(f"The snapshot could not be written: {error}") from error


def snapshot_check(job: DataJob) -> SnapshotManifest:
    """Reads everything back: manifest, checksums, and each file's seal. SnapshotCorrupt names what is wrong."""
    folder = Path(job.folder)
    manifest, _ = manifest_read(folder, sha256=job.manifest_sha256)
    files_check(folder, manifest)
    for file in manifest.files:
        deque(sealed_read(folder / file.name, key=job.key, name=file.name), maxlen=0)
    return manifest


def _capture(stores: Stores, partial: Path, job: DataJob, progress: Progress) -> list[StoreFile]:
    files = [
        cache_dump(
            stores.cache, partial / CACHE_FILE, key=job.key, scratch=Path(job.scratch), progress=progress
        )
    ]
    crash_point("snapshot.cache-read")
    for component, name in DUMP_FILES.items():
        progress.alive()
        files.append(
            database_dump(
                stores.databases[component],
                partial / name,
                component=component,
                key=job.key,
                progress=progress,
            )
        )
    return files


def sentence(manifest: SnapshotManifest) -> str:
    """`120 rows, 34 rows in the vector store, 5 keys; 1.2 MB sealed.`."""
    items = {file.component: file.items for file in manifest.files}
    return (
        f"{items.get('postgres', 0)} rows, {items.get('vector_store', 0)} rows in the vector store, "
        f"{items.get('cache', 0)} keys; {manifest.bytes / 1e6:.1f} MB sealed."
    )
