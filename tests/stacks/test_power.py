"""A runtime at rest: no process, not even after a boot; and since when, as the machine noted it."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.stack import BillableResource
from embedded.processes import processes_marked
from stacks.providers.local.gpus import gpus_assign
from stacks.providers.local.handlers import HANDLERS, Values
from stacks.providers.local.host import units_boot, units_halt
from stacks.providers.local.power import POWER_FILE, power_note, power_since
from stacks.providers.local.provider import input_changes
from stacks.targets.local import existing
from tests.stacks.test_gpus import two_gpus as two_gpus
from tests.stacks.test_handlers import create, inputs, pid_of

RUNTIME = HANDLERS["local:index:RuntimeProcess"]


@pytest.fixture
def tenants(tmp_path: Path, standin_runtime: None) -> Iterator[Path]:
    folder = tmp_path / "tenants"
    yield folder
    assert [report for report in units_halt(folder) if report.error] == []
    assert processes_marked(str(folder)) == []


@pytest.fixture
def running(tenants: Path) -> Values:
    """The inputs of a runtime that runs."""
    values = inputs(tenants, "runtime", version="1", database_url="postgresql://h/d")
    create(RUNTIME, values)
    return values


def rest(values: Values) -> Values:
    return RUNTIME.update(RUNTIME.parse({**values, "suspended": True}))


def test_a_runtime_rests_keeps_its_folder_and_comes_back(tenants: Path, running: Values) -> None:
    begun = RUNTIME.read(running["data_dir"], {})
    assert begun is not None
    before = datetime.now(UTC)
    rested = rest(running)
    assert (rested["running"], rested["suspended"]) == (False, True)
    assert before <= datetime.fromisoformat(rested["since"]) <= datetime.now(UTC)
    assert processes_marked(str(tenants)) == []
    assert RUNTIME.read(running["data_dir"], {}) == rested
    assert units_boot(tenants)[0].state == "stopped"
    assert rest(running) == rested, "a second attempt leaves the moment"
    woken = RUNTIME.update(RUNTIME.parse(running))
    assert woken["running"] is True
    assert woken["since"] > rested["since"] > begun["since"]


def test_a_kill_at_any_point_of_the_way_to_rest_is_mended_by_the_next_attempt(
    tenants: Path, running: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    for point in ("units.unit_write", "runtime_unit.process_stop", "runtime_unit.power_note"):
        RUNTIME.update(RUNTIME.parse(running))
        with monkeypatch.context() as patch:
            patch.setattr(f"stacks.providers.local.{point}", die)
            with pytest.raises(Killed):
                rest(running)
        rested = rest(running)
        assert rested["running"] is False, point
        assert processes_marked(str(tenants)) == [], point
        assert units_boot(tenants)[0].state == "stopped", point


def test_a_restart_or_a_death_does_not_move_the_moment(tenants: Path, running: Values) -> None:
    since = power_since(Path(running["data_dir"]))
    pid = pid_of(tenants, "runtime")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert RUNTIME.update(RUNTIME.parse({**running, "version": "2"}))["since"] == since


def test_a_note_torn_by_a_crash_is_no_note(tmp_path: Path) -> None:
    (tmp_path / POWER_FILE).write_text('{"on": tr')
    assert power_since(tmp_path) is None
    power_note(tmp_path, on=False)
    assert power_since(tmp_path) is not None


def test_what_needs_repair_depends_on_the_wish() -> None:
    state = {"tenant": "acme", "running": False}
    resting = {"tenant": "acme", "suspended": True}
    assert "running" not in input_changes(RUNTIME, {**state, "suspended": True}, resting)
    assert "running" in input_changes(RUNTIME, {**state, "suspended": True, "running": True}, resting)
    assert "running" in input_changes(RUNTIME, state, {"tenant": "acme"})


def test_gpus_given_back_tell_when(two_gpus: Path) -> None:
    assert gpus_assign(two_gpus, "acme", 0).since is None
    taken = gpus_assign(two_gpus, "acme", 2)
    assert taken.since is not None
    assert gpus_assign(two_gpus, "acme", 2).since == taken.since
    returned = gpus_assign(two_gpus, "acme", 0)
    assert returned.since is not None
    assert returned.since > taken.since
    assert gpus_assign(two_gpus, "acme", 0).since == returned.since


STORE = {"type": "local:index:PostgresServer", "outputs": {"component": "postgres"}}
SINCE = "2026-11-21T10:00:00+00:00"
MOMENT = datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_a_state_tells_what_exists_after_half_an_apply() -> None:
    gpu = {"uuid": "GPU-a", "index": 0, "name": "L4", "memory_mb": 1}
    runtime = {
        "type": "local:index:RuntimeProcess",
        "outputs": {"running": False, "since": SINCE, "version": "2"},
    }
    pool = {"type": "local:index:GpuAllocation", "outputs": {"count": 1, "gpus": [gpu], "since": SINCE}}
    found = existing([STORE, runtime, pool])
    assert [(item.meter, item.resource) for item in found.billable] == [
        ("database_hours", "postgres"),
        ("runtime_hours", "runtime"),
        ("gpu_hours", "GPU-a"),
    ]
    assert (found.ended, found.program_version) == ({}, "2")
    runtime["outputs"] = {"running": False, "suspended": True, "since": SINCE}
    pool["outputs"] = {"count": 0, "gpus": [], "since": SINCE}
    rested = existing([STORE, runtime, pool])
    assert rested.billable == [
        BillableResource(
            meter="database_hours", slot=0, resource="postgres", dimensions={"component": "postgres"}
        )
    ]
    assert rested.ended == {"runtime_hours": MOMENT, "gpu_hours": MOMENT}
    assert existing([]).billable == []
