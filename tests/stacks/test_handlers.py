"""The provider's handlers on real processes, without the engine."""

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from embedded.errors import PortTakenError
from embedded.ports import free_port
from embedded.processes import processes_marked
from stacks.errors import InputInvalid, UnitBroken, UnitBusy, UnitNotReady
from stacks.providers.local.handlers import HANDLERS, Handler, Values, physical_id
from stacks.providers.local.host import units_boot, units_halt, units_list
from stacks.providers.local.unitfile import unit_lock, unit_read

POSTGRES = HANDLERS["local:index:PostgresServer"]
REDIS = HANDLERS["local:index:RedisServer"]
RUNTIME = HANDLERS["local:index:RuntimeProcess"]
DIRECTORY = HANDLERS["local:index:DataDirectory"]


@pytest.fixture
def tenants(tmp_path: Path, standin_runtime: None) -> Iterator[Path]:
    """The folder of all tenants; nothing may run below it at the end."""
    folder = tmp_path / "tenants"
    yield folder
    left = units_halt(folder)
    assert [report for report in left if report.error] == []
    assert processes_marked(str(folder)) == []


def inputs(tenants: Path, part: str, **more: Any) -> Values:
    folder = tenants / "acme" / part
    return {"tenant": "acme", "component": part, "data_dir": str(folder), "port": free_port(), **more}


def create(handler: Handler[Any], values: Values) -> Values:
    return handler.create(handler.parse(values))


def pid_of(tenants: Path, name: str) -> int | None:
    return next(report.pid for report in units_list(tenants) if report.name == name)


def kill(tenants: Path, name: str) -> None:
    pid = pid_of(tenants, name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)


def test_creating_again_adopts_what_runs(tenants: Path) -> None:
    values = inputs(tenants, "postgres", extensions=["vector"])
    first = create(POSTGRES, values)
    pid = pid_of(tenants, "postgres")
    assert create(POSTGRES, values) == first
    assert pid_of(tenants, "postgres") == pid
    assert POSTGRES.read(physical_id("local:index:PostgresServer", values), {}) == first


def test_creating_again_after_a_crash_starts_what_lies_there(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    first = create(REDIS, values)
    with redis.Redis.from_url(first["url"]) as client:
        client.set("kept", "7")
    kill(tenants, "cache")
    assert create(REDIS, values) == first
    with redis.Redis.from_url(first["url"]) as client:
        assert client.get("kept") == b"7"


def test_reading_tells_a_dead_process_from_a_lost_folder(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    created = create(REDIS, values)
    kill(tenants, "cache")
    assert REDIS.read(values["data_dir"], {}) == {**created, "running": False}
    REDIS.delete(values["data_dir"], {})
    assert REDIS.read(values["data_dir"], {}) is None
    REDIS.delete(values["data_dir"], {})


def test_files_are_private_and_hold_no_secret_but_in_their_own(tenants: Path) -> None:
    created = create(POSTGRES, inputs(tenants, "postgres"))
    folder = tenants / "acme" / "postgres"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    holders = {path.name for path in files if created["password"] in path.read_text()}
    assert holders == {"owner.password"}


def test_a_failed_first_creation_leaves_nothing(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    create(REDIS, values)
    other = {**inputs(tenants, "postgres"), "port": values["port"]}
    with pytest.raises(PortTakenError, match=rf"port {values['port']} .*redis"):
        create(POSTGRES, other)
    assert not (tenants / "acme" / "postgres").exists()


def test_a_failed_creation_over_old_data_keeps_it(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    create(REDIS, values)
    units_halt(tenants)
    taken = create(REDIS, inputs(tenants, "other"))["port"]
    with pytest.raises(PortTakenError):
        create(REDIS, {**values, "port": taken})
    assert (tenants / "acme" / "cache" / "data" / "appendonly.aof").exists()
    assert create(REDIS, values)["running"]


def test_a_runtime_gets_its_secrets_as_files_and_restarts_for_new_ones(tenants: Path) -> None:
    values = inputs(tenants, "runtime", version="1", database_url="postgresql://u:first@h/d")
    created = create(RUNTIME, values)
    pid = pid_of(tenants, "runtime")
    assert created["url"] == f"http://127.0.0.1:{values['port']}"
    unit = unit_read(Path(values["data_dir"]))
    assert unit is not None
    assert "database_url" not in unit.params
    secret = Path(values["data_dir"]) / "secrets" / "database_url"
    assert secret.read_text() == "postgresql://u:first@h/d"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    RUNTIME.update(RUNTIME.parse(values))
    assert pid_of(tenants, "runtime") == pid
    changed = RUNTIME.update(RUNTIME.parse({**values, "database_url": "postgresql://u:second@h/d"}))
    assert changed["database_url"] == "postgresql://u:second@h/d"
    assert pid_of(tenants, "runtime") != pid


def test_a_runtime_that_dies_shows_its_log_and_leaves_nothing(tenants: Path) -> None:
    values = inputs(tenants, "runtime", version="1")
    with pytest.raises(UnitNotReady, match=r"process ended(.|\n)*RUNTIME_DATABASE_URL: found nothing"):
        create(RUNTIME, values)
    assert not Path(values["data_dir"]).exists()


def test_the_tenants_folder_is_private_repaired_and_removed_with_what_runs_in_it(tenants: Path) -> None:
    values = {"tenant": "acme", "data_dir": str(tenants / "acme")}
    assert create(DIRECTORY, values) == {**values, "mode": "0700"}
    (tenants / "acme").chmod(0o755)
    assert DIRECTORY.read(values["data_dir"], values) == {**values, "mode": "0755"}
    assert DIRECTORY.update(DIRECTORY.parse(values)) == {**values, "mode": "0700"}
    create(REDIS, inputs(tenants, "cache"))
    DIRECTORY.delete(values["data_dir"], values)
    assert not (tenants / "acme").exists()
    assert processes_marked(str(tenants)) == []
    assert DIRECTORY.read(values["data_dir"], values) is None


def test_a_lost_password_is_said_and_not_replaced_by_a_wrong_one(tenants: Path) -> None:
    values = inputs(tenants, "postgres")
    create(POSTGRES, values)
    (tenants / "acme" / "postgres" / "superuser.password").unlink()
    with pytest.raises(UnitBroken, match=r"superuser\.password is missing"):
        create(POSTGRES, values)


def test_two_providers_never_work_on_one_unit_at_once(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    folder = Path(values["data_dir"])
    folder.mkdir(parents=True)
    with unit_lock(folder), pytest.raises(UnitBusy, match="another process"), unit_lock(folder, wait_s=0.1):
        raise AssertionError("entered")
    failures: list[BaseException] = []

    def race() -> None:
        try:
            create(REDIS, values)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(processes_marked(str(folder))) == 1


def test_a_boot_reports_what_it_could_not_start(tenants: Path) -> None:
    create(REDIS, inputs(tenants, "cache"))
    create(RUNTIME, inputs(tenants, "runtime", version="1", database_url="postgresql://h/d"))
    units_halt(tenants)
    (tenants / "acme" / "cache" / "redis.password").unlink()
    broken = tenants / "globex" / "cache"
    broken.mkdir(parents=True)
    (broken / "unit.json").write_text("{")
    reports = {f"{report.tenant}/{report.name}": report for report in units_boot(tenants)}
    assert {name: report.state for name, report in reports.items()} == {
        "acme/cache": "stopped",
        "acme/runtime": "stopped",
        "globex/cache": "stopped",
    }
    assert "redis.password is missing" in str(reports["acme/cache"].error)
    assert "a server it needs" in str(reports["acme/runtime"].error)
    assert "not a unit file" in str(reports["globex/cache"].error)
    (broken / "unit.json").unlink()


def test_halt_finds_processes_nobody_remembers(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    create(REDIS, values)
    folder = Path(values["data_dir"])
    (folder / "unit.json").unlink()
    assert units_list(tenants) == []
    units_halt(tenants)
    deadline = time.monotonic() + 5
    while processes_marked(str(tenants)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_marked(str(tenants)) == []


def test_inputs_that_would_remove_a_strangers_folder_are_refused(tenants: Path) -> None:
    for folder in ("/home/else", "tenants/acme", "/tenants/acme/../globex"):
        with pytest.raises(InputInvalid, match="data_dir"):
            POSTGRES.parse({**inputs(tenants, "postgres"), "data_dir": folder})
