"""The machine's verbs over all tenants' units: boot, halt, list. Used by `freehold up`, `down`, `status`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError

from embedded.errors import EmbeddedError
from stacks.errors import StacksError, UnitBroken
from stacks.providers.local.inputs import PostgresInputs, RedisInputs, RuntimeInputs
from stacks.providers.local.runtime_unit import RuntimeUnit
from stacks.providers.local.unitfile import UNIT_FILE, UnitFile, stragglers_stop, unit_read
from stacks.providers.local.units import PostgresUnit, RedisUnit, Unit, unit_halt, unit_start

#: How many units are started or stopped at once: each start keeps about one core busy.
AT_ONCE = 4


@dataclass(frozen=True)
class UnitReport:
    """One unit after a verb; `error` is None when the verb reached its aim."""

    tenant: str
    name: str
    pid: int | None
    error: str | None = None

    @property
    def state(self) -> str:
        return "running" if self.pid is not None else "stopped"

    def to_json(self) -> dict[str, str | int | None]:
        body: dict[str, str | int | None] = {
            "tenant": self.tenant,
            "name": self.name,
            "pid": self.pid,
            "state": self.state,
        }
        return body if self.error is None else {**body, "error": self.error}


def unit_of(file: UnitFile) -> Unit:
    """UnitBroken when the file's kind or parameters are not understood."""
    try:
        match file.kind:
            case PostgresUnit.KIND:
                return PostgresUnit(PostgresInputs.model_validate(file.params))
            case RedisUnit.KIND:
                return RedisUnit(RedisInputs.model_validate(file.params))
            case RuntimeUnit.KIND:
                return RuntimeUnit(RuntimeInputs.model_validate(file.params))
    except ValidationError as error:
        raise UnitBroken(f"unit {file.tenant}/{file.name}: {error}") from error
    raise UnitBroken(f"unit {file.tenant}/{file.name} is of the unknown kind {file.kind!r}")


def units_list(tenants_dir: Path, tenant: str | None = None) -> list[UnitReport]:
    """Every unit below the folder, by tenant and name."""
    reports, units = _units(tenants_dir, tenant)
    return _sorted([*reports, *(_report(unit) for _, unit in units)])


def units_boot(tenants_dir: Path, tenant: str | None = None) -> list[UnitReport]:
    """Start what should run and does not, databases first, and wait until each is ready.

    A failure stops nothing but the same tenant's later units; it is in the report.
    """
    reports, units = _units(tenants_dir, tenant)
    failed: set[str] = set()

    def boot(entry: tuple[UnitFile, Unit]) -> UnitReport:
        file, unit = entry
        if not file.should_run:
            return _report(unit)
        if file.tenant in failed:
            return _report(unit, "not started: a server it needs did not start")
        return _report(unit, _attempt(lambda: unit_start(unit)))

    for batch in _by_rank(units):
        done = _in_parallel(boot, batch)
        failed |= {report.tenant for report in done if report.error is not None}
        reports += done
    return _sorted(reports)


def units_halt(tenants_dir: Path, tenant: str | None = None) -> list[UnitReport]:
    """Stop everything, runtimes first, then any process left that carries the mark of these folders."""
    reports, units = _units(tenants_dir, tenant)

    def halt(entry: tuple[UnitFile, Unit]) -> UnitReport:
        _, unit = entry
        return _report(unit, _attempt(lambda: unit_halt(unit)))

    for batch in reversed(_by_rank(units)):
        reports += _in_parallel(halt, batch)
    scope = tenants_dir if tenant is None else tenants_dir / tenant
    # Marks hold the path as it was given to the engine, which may lead over a link.
    for folder in {scope.absolute(), scope.resolve()}:
        error = _attempt(lambda folder=folder: stragglers_stop(folder))  # type: ignore[misc]
        if error is not None:
            reports.append(UnitReport(tenant or "*", "orphans", None, error))
    return _sorted(reports)


def _units(tenants_dir: Path, tenant: str | None) -> tuple[list[UnitReport], list[tuple[UnitFile, Unit]]]:
    """Reports about broken units, and the good ones."""
    broken: list[UnitReport] = []
    units: list[tuple[UnitFile, Unit]] = []
    for path in sorted(tenants_dir.glob(f"{tenant or '*'}/*/{UNIT_FILE}")):
        try:
            file = unit_read(path.parent)
            if file is not None:
                units.append((file, unit_of(file)))
        except StacksError as error:
            broken.append(UnitReport(path.parent.parent.name, path.parent.name, None, str(error)))
    return broken, units


def _by_rank(units: Sequence[tuple[UnitFile, Unit]]) -> list[list[tuple[UnitFile, Unit]]]:
    ordered = sorted(units, key=lambda entry: entry[1].BOOT_RANK)
    return [list(batch) for _, batch in groupby(ordered, key=lambda entry: entry[1].BOOT_RANK)]


def _in_parallel(
    verb: Callable[[tuple[UnitFile, Unit]], UnitReport], batch: list[tuple[UnitFile, Unit]]
) -> list[UnitReport]:
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(verb, batch))


def _attempt(verb: Callable[[], object]) -> str | None:
    """The text of what went wrong; None when nothing did."""
    try:
        verb()
    except (StacksError, EmbeddedError, OSError) as error:
        return str(error)
    return None


def _report(unit: Unit, error: str | None = None) -> UnitReport:
    identity = unit.running()
    pid = identity.pid if identity is not None else None
    return UnitReport(unit.inputs.tenant, unit.inputs.component, pid, error)


def _sorted(reports: list[UnitReport]) -> list[UnitReport]:
    return sorted(reports, key=lambda report: (report.tenant, report.name))
