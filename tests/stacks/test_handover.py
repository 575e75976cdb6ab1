"""A runtime that changes hands: a successor serves on the same socket before the old process ends."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from embedded.databases import database_ensure
from embedded.postgres import postgres_url
from embedded.processes import processes_marked
from stacks.errors import UnitBroken, UnitNotReady
from stacks.providers.local.handlers import HANDLERS, Values
from stacks.providers.local.host import units_halt
from tests.stacks.test_handlers import create, inputs, pid_of
from tests.support.services import RunningPostgres

RUNTIME = HANDLERS["local:index:RuntimeProcess"]


class Killed(BaseException):
    pass


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tenants"
    yield folder
    assert [report for report in units_halt(folder) if report.error] == []
    assert processes_marked(str(folder)) == []


@pytest.fixture
def running(tenants: Path, standin_runtime: None) -> Values:
    values = inputs(tenants, "runtime", version="1", database_url="postgresql://h/d")
    create(RUNTIME, values)
    return values


def update(values: Values, **changes: Any) -> Values:
    return RUNTIME.update(RUNTIME.parse({**values, **changes}))


def serving(values: Values) -> int:
    return int(httpx.get(f"http://127.0.0.1:{values['port']}/pid", timeout=5).text)


@contextmanager
def hammering(url: str, headers: dict[str, str] | None = None) -> Iterator[list[str]]:
    """Clients that ask without pause: one keeps its connection, one makes a new one each time. Yields failures."""
    failures: list[str] = []
    asked = [0]
    stop = threading.Event()

    def ask(client: httpx.Client) -> None:
        asked[0] += 1
        answer = client.get(url)
        if answer.status_code != 200:
            failures.append(f"{answer.status_code} {answer.text[:200]}")

    def hammer(keep: bool) -> None:
        kept = httpx.Client(timeout=20, headers=headers)
        while not stop.is_set():
            try:
                if keep:
                    ask(kept)
                else:
                    with httpx.Client(timeout=20, headers=headers) as client:
                        ask(client)
            except httpx.HTTPError as error:
                failures.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=hammer, args=(keep,)) for keep in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert asked[0] > 20


def test_the_successor_is_the_unit_once_it_serves(tenants: Path, running: Values) -> None:
    old = serving(running)
    update(running, version="2")
    assert serving(running) == pid_of(tenants, "runtime") != old
    assert len(processes_marked(str(tenants))) == 1
    update(running, version="2")
    assert serving(running) == pid_of(tenants, "runtime")


def test_a_successor_that_does_not_serve_leaves_the_old_process_the_unit(
    tenants: Path, running: Values
) -> None:
    old = serving(running)
    with pytest.raises(UnitNotReady, match=r"the old one goes on(.|\n)*MODEL_NAME: broken"):
        update(running, model="broken")
    assert serving(running) == pid_of(tenants, "runtime") == old
    update(running, model="good")
    assert serving(running) == pid_of(tenants, "runtime") != old
    assert len(processes_marked(str(tenants))) == 1


def test_a_release_that_is_not_installed_is_named_and_the_old_process_goes_on(
    tenants: Path, running: Values
) -> None:
    old = serving(running)
    with pytest.raises(UnitBroken, match=r"release 2 of the runtime is not installed: /nowhere/bin/python"):
        update(running, version="2", python="/nowhere/bin/python")
    assert serving(running) == pid_of(tenants, "runtime") == old
    python = tenants.parent / "runtimes" / "2" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nRELEASE=2 exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    update(running, version="2", python=str(python))
    assert psutil.Process(serving(running)).environ()["RELEASE"] == "2"


@pytest.mark.parametrize(
    "point",
    [
        "RuntimeUnit._wait_serving",
        "RuntimeUnit._identify",
        "RuntimeUnit._end",
    ],
)
def test_a_kill_at_any_point_leaves_one_that_answers_and_the_next_attempt_ends_the_rest(
    tenants: Path, running: Values, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    from stacks.providers.local import runtime_unit

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"stacks.providers.local.runtime_unit.{point}", die)
        # A process that is killed cleans nothing up.
        patch.setattr(runtime_unit, "process_stop", lambda *_, **__: None)
        with pytest.raises(Killed):
            update(running, version="2")
    assert serving(running)
    changed = update(running, version="2")
    assert changed["version"] == "2"
    assert serving(running) == pid_of(tenants, "runtime")
    assert len(processes_marked(str(tenants))) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_real_runtime_under_load_changes_hands_with_no_failed_request_and_no_cut_run(
    tenants: Path, postgres_server: RunningPostgres, workers: int
) -> None:
    database = f"handover_{workers}"
    database_ensure(
        postgres_server.server,
        postgres_server.password,
        database=database,
        owner=database,
        owner_password="owner-password",
        extensions=("vector",),
    )
    url = postgres_url(postgres_server.server, "owner-password", database, user=database)
    manifest = Path(__file__).resolve().parents[1] / "tenant_runtime" / "agents" / "agents.toml"
    values = inputs(
        tenants,
        "runtime",
        version="1",
        workers=workers,
        manifest=str(manifest),
        database_url=url,
        admin_key="an-admin-key-of-acme-0123456789",
    )
    base = create(RUNTIME, values)["url"]
    admin = {"x-api-key": values["admin_key"]}
    key = httpx.post(f"{base}/admin/keys", json={"name": "t"}, headers=admin, timeout=20).json()["api_key"]
    headers = {"x-api-key": key}
    thread = httpx.post(f"{base}/threads", json={}, headers=headers, timeout=20).json()["thread_id"]
    # A thread is read from the database and owes nobody an answer by a time: readiness does, and says 503 when
    # a part is late on a busy machine, which is no fault of a handover.
    reading = hammering(f"{base}/threads/{thread}", headers)
    with reading as failures, httpx.Client(base_url=base, headers=headers, timeout=20) as client:
        agents = client.post("/assistants/search", json={}).raise_for_status().json()
        slow = next(agent for agent in agents if agent["graph_id"] == "slow")
        started = client.post(
            f"/threads/{thread}/runs",
            json={"assistant_id": slow["assistant_id"], "input": {"delay": 2.0, "steps": 3}},
        ).raise_for_status()
        run = started.json()["run_id"]
        time.sleep(1)
        update(values, version="2")
    assert failures == []
    status = httpx.get(f"{base}/threads/{thread}/runs/{run}", headers=headers, timeout=20).json()["status"]
    assert status == "success", "a run in flight is not cut"
