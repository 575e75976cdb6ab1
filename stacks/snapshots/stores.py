"""Where a local tenant's stores are, found by the files of its units."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.stack import StackSpec
from embedded.errors import EmbeddedError
from stacks.errors import StacksError, TargetUnknown
from stacks.providers.local.host import unit_of
from stacks.providers.local.runtime_unit import RuntimeUnit
from stacks.providers.local.unitfile import unit_lock, unit_read, unit_write
from stacks.providers.local.units import PostgresUnit, RedisUnit, Unit, unit_settle, unit_start
from stacks.snapshots.errors import SnapshotFailed


@dataclass(frozen=True)
class Stores:
    """A tenant's units. `runtime` is None where none was ever made."""

    folder: Path
    postgres: PostgresUnit
    vector_store: PostgresUnit
    cache: RedisUnit
    runtime: RuntimeUnit | None

    @property
    def databases(self) -> dict[str, PostgresUnit]:
        return {"postgres": self.postgres, "vector_store": self.vector_store}


def stores_of(spec: StackSpec) -> Stores:
    """SnapshotFailed, naming it, when a store is not there; TargetUnknown for a target without snapshots."""
    if spec.local is None:
        raise TargetUnknown(f"snapshots of the target {spec.target!r} are not supported")
    folder = Path(spec.local.data_dir)
    postgres, vectors = _unit(folder / "postgres"), _unit(folder / "vector")
    cache, runtime = _unit(folder / "cache"), _unit(folder / "runtime")
    if not isinstance(postgres, PostgresUnit):
        raise SnapshotFailed("The tenant has no Postgres.")
    if not isinstance(vectors, PostgresUnit):
        raise SnapshotFailed("The tenant has no vector store.")
    if not isinstance(cache, RedisUnit):
        raise SnapshotFailed("The tenant has no cache.")
    return Stores(folder, postgres, vectors, cache, runtime if isinstance(runtime, RuntimeUnit) else None)


def stores_start(stores: Stores) -> None:
    """Brings up what does not run, and lets in whom its file names: data can be read then."""
    try:
        for unit in (stores.postgres, stores.vector_store, stores.cache):
            unit_start(unit)
            unit_settle(unit)
    except (StacksError, EmbeddedError, OSError) as error:
        raise SnapshotFailed(f"A store does not run: {error}") from error


def runtime_should_run(runtime: RuntimeUnit) -> bool:
    file = unit_read(runtime.folder)
    return file is not None and file.should_run


def runtime_retire(runtime: RuntimeUnit) -> None:
    """Stops the runtime for good: no boot of the machine starts it again."""
    with unit_lock(runtime.folder):
        file = unit_read(runtime.folder)
        if file is not None and file.should_run:
            unit_write(runtime.folder, replace(file, should_run=False))
        runtime.stop()


@contextmanager
def runtime_held(runtime: RuntimeUnit | None) -> Iterator[None]:
    """The runtime stands still meanwhile, whoever wants to start it; afterwards, also after a failure, it runs as
    its file says."""
    if runtime is None:
        yield
        return
    with unit_lock(runtime.folder):
        runtime.stop()
        try:
            yield
        finally:
            if runtime_should_run(runtime):
                runtime.start()


def _unit(folder: Path) -> Unit | None:
    file = unit_read(folder)
    return None if file is None else unit_of(file)
