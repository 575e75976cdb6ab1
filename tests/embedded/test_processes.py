"""Processes are recognised, ended with all they started, and found when nobody remembers them."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from embedded.errors import ProcessStartError
from embedded.processes import (
    ProcessIdentity,
    identity_read,
    identity_write,
    process_alive,
    process_spawn,
    process_stop,
    process_wait_gone,
    processes_kill,
    processes_marked,
    wait_until,
)

SLEEP = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {SLEEP}"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"


def spawn(tmp_path: Path, code: str, mark: str | None = None) -> ProcessIdentity:
    return process_spawn(
        [sys.executable, "-c", code], cwd=tmp_path, env={}, log_path=tmp_path / "log", mark=mark
    )


def test_a_spawned_process_has_its_own_session_and_a_private_log(tmp_path: Path) -> None:
    identity = spawn(tmp_path, "import os; print(os.getsid(0), flush=True); import time; time.sleep(60)")
    log = tmp_path / "log"
    try:
        assert wait_until(lambda: log.read_text() == f"{identity.pid}\n", 10)
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert process_alive(identity)
    finally:
        process_stop(identity, grace_s=5)
    assert not process_alive(identity)


def test_an_ended_child_is_not_alive_and_leaves_no_zombie(tmp_path: Path) -> None:
    identity = spawn(tmp_path, "pass")
    assert process_wait_gone(identity, 10)
    assert not psutil.pid_exists(identity.pid)


def test_a_zombie_of_another_parent_is_not_alive(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = ProcessIdentity(child.pid, psutil.Process(child.pid).create_time())
    assert wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, 10)
    assert not process_alive(identity)
    child.wait()


def test_another_process_with_the_same_pid_is_not_it(tmp_path: Path) -> None:
    mine = psutil.Process()
    assert process_alive(ProcessIdentity(mine.pid, mine.create_time()))
    assert not process_alive(ProcessIdentity(mine.pid, mine.create_time() - 3600))


def test_stop_kills_what_ignores_the_first_signal(tmp_path: Path) -> None:
    identity = spawn(tmp_path, STUBBORN)
    assert wait_until(lambda: (tmp_path / "log").read_text() == "up\n", 10)
    process_stop(identity, grace_s=0.2)
    assert not process_alive(identity)


def test_stop_ends_children_too_even_when_the_leader_died_before(tmp_path: Path) -> None:
    identity = spawn(tmp_path, PARENT, mark=str(tmp_path))
    assert wait_until(lambda: len(processes_marked(str(tmp_path))) == 2, 10)
    os.kill(identity.pid, signal.SIGKILL)
    assert process_wait_gone(identity, 5)
    assert len(processes_marked(str(tmp_path))) == 1
    process_stop(identity, grace_s=1)
    assert processes_marked(str(tmp_path)) == []


def test_an_orphan_is_found_by_its_mark_or_a_folder_above(tmp_path: Path) -> None:
    mark = str(tmp_path / "tenants" / "acme" / "cache")
    identity = spawn(tmp_path, "import time; time.sleep(60)", mark=mark)
    try:
        assert [found.pid for found in processes_marked(mark)] == [identity.pid]
        assert [found.pid for found in processes_marked(str(tmp_path / "tenants"))] == [identity.pid]
        assert processes_marked(str(tmp_path / "tenants" / "ac")) == []
    finally:
        process_stop(identity, grace_s=5)


def test_identities_survive_a_file_and_bad_files_are_none(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    identity = ProcessIdentity(pid=4, create_time=12.5)
    identity_write(path, identity)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity_read(path) == identity
    path.write_text('{"pid":')
    assert identity_read(path) is None
    assert identity_read(tmp_path / "none") is None


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessStartError, match="no-such-program"):
        process_spawn(["/no-such-program"], cwd=tmp_path, env={}, log_path=tmp_path / "log")


def test_killing_a_mark_spares_what_carries_a_mark_of_its_own(tmp_path: Path) -> None:
    """A killed engine must not take the servers with it that it has just started for a tenant."""
    own, other = str(tmp_path / "run"), str(tmp_path / "server")
    started = f"""
import os, subprocess, sys
server = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], env={{"FREEHOLD_UNIT": {other!r}}}, start_new_session=True)
helper = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], env={{}}, start_new_session=True)
print(server.pid, helper.pid, flush=True)
{SLEEP}
"""
    spawn(tmp_path, started, mark=own)
    log = tmp_path / "log"
    assert wait_until(lambda: log.read_text().endswith("\n"), 10)
    server, helper = (ProcessIdentity.of(int(pid)) for pid in log.read_text().split())
    assert server is not None
    assert helper is not None
    assert processes_kill(own) == 2
    try:
        assert (process_alive(server), process_alive(helper)) == (True, False)
        assert processes_kill(own) == 0
    finally:
        process_stop(server, grace_s=1.0)


def test_what_a_server_of_its_own_started_lives_on_without_a_mark(tmp_path: Path) -> None:
    """Postgres writes titles over the environments of its children: no mark can be read there."""
    own = str(tmp_path / "run")
    server = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}], env={{}}).pid, flush=True)
{SLEEP}
"""
    code = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {server!r}], env={{"FREEHOLD_UNIT": "another"}})
{SLEEP}
"""
    spawn(tmp_path, code, mark=own)
    log = tmp_path / "log"
    assert wait_until(lambda: log.read_text().endswith("\n"), 10)
    worker = ProcessIdentity.of(int(log.read_text()))
    assert worker is not None
    (parent,) = psutil.Process(worker.pid).parents()[:1]
    server_identity = ProcessIdentity.of(parent.pid)
    assert server_identity is not None
    assert processes_kill(own) == 1
    try:
        assert (process_alive(worker), process_alive(server_identity)) == (True, True)
    finally:
        process_stop(server_identity, grace_s=1.0)
