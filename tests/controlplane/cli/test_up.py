"""Pieces of `up`: tenants that follow the port, interrupted starts, one `up` at a time, what status sees."""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.cli import lifecycle, main, runtime, services, status
from controlplane.cli.client import Api, Credentials, segment
from controlplane.cli.errors import CliError, Missing
from controlplane.cli.home import Home, home_prepare
from controlplane.cli.locking import up_lock
from controlplane.cli.moving import REASON, tenants_follow_port
from controlplane.cli.up import meter_total
from embedded.processes import identity_write, process_spawn, process_stop


class FakeApi(Api):
    """Answers what `tenants_follow_port` asks, and remembers what was queued."""

    def __init__(self, *, fails: str = "") -> None:
        super().__init__(Credentials("http://127.0.0.1:1/api/v1", "key"))
        self.queued: list[tuple[str, Any]] = []
        self.fails = fails

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        for slug, target, lifecycle_ in (
            ("acme", "local", "active"),
            ("globex", "local", "active"),
            ("far", "aws", "active"),
            ("gone", "local", "deprovisioned"),
        ):
            yield {"slug": slug, "target": target, "lifecycle": lifecycle_}

    def post(self, path: str, body: Any = None) -> Any:
        self.queued.append((path, body))
        return {"operation": {"id": path.split("/")[1]}}

    def get(self, path: str, **params: Any) -> Any:
        state = "failed" if self.fails and self.fails in path else "succeeded"
        return {"state": state, "error": {"title": "No"}, "results": []}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home_prepare(home)
    return home


def test_active_local_tenants_follow_another_port_once(home: Home) -> None:
    (home.run / "served-port").write_text("8420\n")
    api = FakeApi()
    tenants_follow_port(api, home, 8500)
    assert api.queued == [(f"tenants/{slug}/update", {"reason": REASON}) for slug in ("acme", "globex")]
    tenants_follow_port(api, home, 8500)
    assert len(api.queued) == 2


def test_a_tenant_that_could_not_follow_is_tried_again(home: Home) -> None:
    api = FakeApi(fails="globex")
    tenants_follow_port(api, home, 8500)
    assert not (home.run / "served-port").exists()
    api.fails = ""
    tenants_follow_port(api, home, 8500)
    assert len(api.queued) == 4
    assert (home.run / "served-port").read_text() == "8500\n"


def test_meter_total() -> None:
    report = {"meters": [{"meter": "agent_runs", "total": "3"}]}
    assert meter_total(report, "agent_runs") == 3
    assert meter_total(report, "input_tokens") == 0


def test_the_phase_tells_whether_migrations_are_waited_for(home: Home) -> None:
    home.state_file.write_text(json.dumps({"phase": "databases"}))
    assert lifecycle.supervisor_phase_wait(home, ("databases", "running")) == "databases"


def test_a_second_up_waits_and_says_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        up_lock(home),
        pytest.raises(CliError, match="still at work after 0 s"),
        up_lock(home, wait_s=0.3),
    ):
        pytest.fail("two at once")
    assert "Another freehold up is at work" in capsys.readouterr().err
    descriptor = os.open(home.run / "up.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest.mark.parametrize("by_mark", [False, True])
def test_status_sees_services_without_their_supervisor(
    home: Home, monkeypatch: pytest.MonkeyPatch, by_mark: bool
) -> None:
    monkeypatch.setattr(status, "tenants_host", lambda home, verb: [])
    (home.run / "ports.json").write_text(
        json.dumps({"web": 18420, "postgres": 18421, "redis": 18422, "tenant_base": 21000})
    )
    identity = process_spawn(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        cwd=home.root,
        env=dict(os.environ),
        log_path=home.logs / "web.log",
        mark=services.service_mark(home, "web"),
    )
    try:
        if not by_mark:
            identity_write(services.service_identity_path(home, "web"), identity)
        rows = {row["name"]: row for row in status.processes(home)}
    finally:
        process_stop(identity, grace_s=2)
    assert rows["web"] == {"name": "web", "pid": identity.pid, "state": "running"}
    assert {rows[name]["state"] for name in ("postgres", "redis", "worker")} == {"stopped"}


def test_a_slug_is_one_segment_of_a_path() -> None:
    assert segment("acme") == "acme"
    assert segment("a/b?c#d") == "a%2Fb%3Fc%23d"
    assert segment("..") == "%2E%2E"


def test_an_unknown_agent_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx.Response(404, json={"detail": "no agent nope"})
    monkeypatch.setattr(httpx, "request", lambda *args, **kwargs: answer)
    with pytest.raises(Missing, match="no agent nope") as caught:
        runtime.Runtime("http://127.0.0.1:1", "key").call("POST", "/threads/1/runs/wait", {})
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("words", [["nope"], ["tenants", "create"], ["status", "--nope"]])
def test_usage_errors_are_json_under_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    umask = os.umask(0o077)
    monkeypatch.setattr(sys, "argv", ["freehold", *words, "--json"])
    try:
        with pytest.raises(SystemExit) as caught:
            main.run()
    finally:
        os.umask(umask)
    told = json.loads(capsys.readouterr().err)
    assert caught.value.code == 2
    assert told["exit_code"] == 2
    assert told["error"]
