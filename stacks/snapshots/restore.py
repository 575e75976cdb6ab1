"""Restores a snapshot into a running tenant: loaded beside the old data, put in its place in one step."""

from pathlib import Path

import psycopg
import redis

from contracts.snapshot import DataJob, SnapshotManifest, StoreFile
from contracts.stack import StackSpec
from embedded.crashpoints import crash_point
from embedded.errors import EmbeddedError
from stacks.errors import StacksError
from stacks.providers.local.swap import CACHE_SIDE, JOURNAL, side_name, swap_commit, swap_done, swap_finish
from stacks.snapshots.cache import cache_load, cache_side, client_of
from stacks.snapshots.errors import DataError, RestoreFailed
from stacks.snapshots.ledger import ledger_carry
from stacks.snapshots.postgres import connection_to, database_drop, database_load, owner_url
from stacks.snapshots.progress import Progress
from stacks.snapshots.stores import Stores, runtime_held, stores_of, stores_start

#: Component -> the type and name of the resource whose content a restore replaces.
_RESOURCES = {
    "postgres": ("local:index:PostgresServer", "postgres-server"),
    "vector_store": ("local:index:PostgresServer", "vector-store-server"),
    "cache": ("local:index:RedisServer", "cache-server"),
}


def restore_plan(spec: StackSpec, manifest: SnapshotManifest) -> list[dict[str, object]]:
    """What a restore replaces, in the shape of an engine's plan."""
    return [
        {
            "urn": f"urn:freehold:{spec.slug}::data::{type_}::{name}",
            "type": type_,
            "name": name,
            "op": "replace",
            "diffs": [{"path": "data", "kind": "update"}],
        }
        for type_, name in (_RESOURCES[file.component] for file in manifest.files)
    ]


def snapshot_restore(spec: StackSpec, manifest: SnapshotManifest, job: DataJob, progress: Progress) -> str:
    """Replaces the tenant's data by the snapshot's; a sentence on it. RestoreFailed, DataCanceled: the tenant has
    its old data and its runtime runs. Repeated under the same id, it is carried out once."""
    stores = stores_of(spec)
    stores_start(stores)
    try:
        swap_finish(stores.folder)
        if swap_done(stores.folder) == str(job.restore_id):
            with runtime_held(stores.runtime):
                return "It had been put in place before."
        return _restore(stores, spec, manifest, job, progress)
    except DataError:
        raise
    except (StacksError, EmbeddedError, psycopg.Error, redis.RedisError, OSError) as error:
        raise RestoreFailed(f"{type(error).__name__}: {error}.{_whose(stores, job)}") from error


def _whose(stores: Stores, job: DataJob) -> str:
    """After the commit nothing goes back: who reads of a failure must know which data counts."""
    if (stores.folder / JOURNAL).exists() or swap_done(stores.folder) == str(job.restore_id):
        return " The snapshot's data counts already; a retry finishes the rest."
    return ""


def _restore(
    stores: Stores, spec: StackSpec, manifest: SnapshotManifest, job: DataJob, progress: Progress
) -> str:
    same_tenant = manifest.tenant_id == spec.tenant_id
    rename = None if manifest.tenant == spec.slug else (_prefix(manifest.tenant), _prefix(spec.slug))
    files: dict[str, StoreFile] = {file.component: file for file in manifest.files}
    folder = Path(job.folder)
    try:
        for component, unit in stores.databases.items():
            file = files[component]
            side = side_name(unit.inputs.database)
            database_load(unit, side, folder / file.name, file, key=job.key, progress=progress)
        _age_check(stores)
        file = files["cache"]
        with cache_side(stores.cache) as client:
            keys = cache_load(client, folder / file.name, file, key=job.key, progress=progress, rename=rename)
        progress.alive()
        with runtime_held(stores.runtime):
            side = side_name(stores.postgres.inputs.database)
            said = ledger_carry(
                owner_url(stores.postgres), owner_url(stores.postgres, side), same_tenant=same_tenant
            )
            crash_point("restore.loaded")
            swap_commit(stores.folder, restore_id=str(job.restore_id))
            crash_point("restore.committed")
            swap_finish(stores.folder)
            crash_point("restore.swapped")
    except BaseException:
        _tidy(stores)
        raise
    moment = f"{manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    counts = f"{files['postgres'].items} rows, {files['vector_store'].items} rows in the vector store"
    return f"{counts} and {keys} keys as of {moment}.{said}"


def _prefix(slug: str) -> str:
    return f"freehold:{slug}:"


def _age_check(stores: Stores) -> None:
    """A runtime refuses a database of a newer version than its own, so such a snapshot is refused beforehand."""
    statement = "SELECT coalesce(max(number), 0) FROM runtime_migrations"
    unit = stores.postgres
    numbers = []
    for database in (unit.inputs.database, side_name(unit.inputs.database)):
        try:
            with connection_to(owner_url(unit, database)) as connection:
                row = connection.execute(statement).fetchone()
        except psycopg.errors.UndefinedTable:
            return
        numbers.append(int(row[0]) if row else 0)
    if numbers[1] > numbers[0]:
        raise RestoreFailed(
            f"The snapshot is of a newer runtime (migration {numbers[1]}) than the tenant's (migration "
            f"{numbers[0]}): upgrade the tenant first."
        )


def _tidy(stores: Stores) -> None:
    """Before the commit: what was loaded beside goes. After it nothing may: the new data is already the tenant's."""
    if (stores.folder / JOURNAL).exists():
        return
    try:
        for unit in stores.databases.values():
            database_drop(unit, side_name(unit.inputs.database))
        with client_of(stores.cache, CACHE_SIDE) as client:
            client.flushdb()
    except (psycopg.Error, redis.RedisError):
        return  # the next restore begins by removing it
