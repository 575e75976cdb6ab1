"""The restore drill: a snapshot is brought into throw-away servers, and what arrives is compared with the manifest."""

import secrets
import shutil
from pathlib import Path

import psycopg
import redis

from contracts.snapshot import DataJob, SnapshotManifest
from contracts.stack import StackSpec
from embedded.databases import database_ensure
from embedded.errors import EmbeddedError
from embedded.ports import free_port
from embedded.processes import file_write_private
from stacks.errors import StacksError
from stacks.providers.local.inputs import PostgresInputs
from stacks.providers.local.units import (
    OWNER_PASSWORD_FILE,
    SUPERUSER_PASSWORD_FILE,
    PostgresUnit,
)
from stacks.snapshots.cache import cache_load, throwaway
from stacks.snapshots.errors import DataCanceled, DrillFailed
from stacks.snapshots.folder import files_check
from stacks.snapshots.postgres import database_load
from stacks.snapshots.progress import Progress
from stacks.snapshots.stores import stores_of


def snapshot_drill(spec: StackSpec, manifest: SnapshotManifest, job: DataJob, progress: Progress) -> str:
    """Restores into servers of its own, which are gone afterwards; a sentence on it. DrillFailed when anything
    differs from the manifest."""
    folder = Path(job.folder)
    scratch = Path(job.scratch) / "drill"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)
    try:
        files_check(folder, manifest)
        rows = _databases(spec, manifest, job, scratch, progress)
        file = next(file for file in manifest.files if file.component == "cache")
        memory = stores_of(spec).cache.inputs.max_memory_mb * 2
        with throwaway(scratch / "cache", max_memory_mb=memory) as client:
            keys = cache_load(client, folder / file.name, file, key=job.key, progress=progress)
        return f"Drill passed: {rows} rows and {keys} keys restored elsewhere and compared."
    except DataCanceled:
        raise
    except (StacksError, EmbeddedError, psycopg.Error, redis.RedisError, OSError) as error:
        raise DrillFailed(f"{type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _databases(
    spec: StackSpec, manifest: SnapshotManifest, job: DataJob, scratch: Path, progress: Progress
) -> int:
    """Both databases into one throw-away Postgres; how many rows."""
    folder = scratch / spec.slug / "postgres"
    folder.mkdir(mode=0o700, parents=True)
    owner_password = secrets.token_urlsafe(32)
    superuser_password = secrets.token_urlsafe(32)
    file_write_private(folder / SUPERUSER_PASSWORD_FILE, superuser_password)
    file_write_private(folder / OWNER_PASSWORD_FILE, owner_password)
    unit = PostgresUnit(
        PostgresInputs(
            tenant=spec.slug,
            component="drill",
            data_dir=str(folder),
            port=free_port(),
            extensions=("vector",),
        )
    )
    rows = 0
    try:
        unit.prepare()
        unit.start()
        database_ensure(
            unit.server,
            superuser_password,
            database=unit.inputs.database,
            owner=unit.inputs.owner,
            owner_password=owner_password,
        )
        for file in manifest.files:
            if file.component == "cache":
                continue
            path = Path(job.folder) / file.name
            database_load(unit, f"drill_{file.component}", path, file, key=job.key, progress=progress)
            rows += file.items
    finally:
        unit.stop()
    return rows
