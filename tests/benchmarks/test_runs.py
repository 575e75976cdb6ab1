"""What decides whether a figure of `runs` may stand: nothing here measures a time."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks import peers, runs
from benchmarks.contenders import Given, Stores
from benchmarks.peers import Peer, peer_installed
from benchmarks.private import BenchmarkError
from benchmarks.runs import Entry
from benchmarks.runs_agents.noop import NODES, graph
from benchmarks.servers import server_started
from embedded.ports import free_port

STORES = Stores({}, "", Path())


@dataclass
class Canned:
    """A contender that answers as it is told."""

    count: int = NODES
    updates: int = NODES

    async def thread(self) -> str:
        return "t"

    async def wait(self, thread: str, given: Given) -> Given:
        return {"count": self.count}

    async def stream(self, thread: str, given: Given) -> AsyncIterator[str]:
        for _ in range(self.updates):
            yield "updates"


def _entry(contender: Canned, *, own: bool = False) -> Entry:
    @asynccontextmanager
    async def opened(_: Stores) -> AsyncIterator[Canned]:
        yield contender

    return Entry("canned", "a test", opened, own=own)


async def test_the_graph_has_ten_nodes_and_counts_them() -> None:
    assert await graph.ainvoke({"count": 0}) == {"count": NODES}
    assert NODES == 10


async def test_each_contender_gets_the_three_figures() -> None:
    figures, remark = await runs._measured(_entry(Canned()), STORES)
    assert [(figure.unit, figure.n) for figure in figures] == [
        ("ms", 30),
        ("ms", 30),
        ("runs/s", runs.AT_ONCE * runs.ROUNDS),
    ]
    assert remark == ""


async def test_a_run_that_did_less_gives_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="something else than 10 steps"):
        await runs._measured(_entry(Canned(count=3)), STORES)


async def test_a_stream_that_lacks_updates_is_said_of_a_peer_and_refused_of_ourselves() -> None:
    _, remark = await runs._measured(_entry(Canned(updates=9)), STORES)
    assert remark == "; 30 of 30 streams lacked updates"
    with pytest.raises(BenchmarkError, match="30 of 30 streams"):
        await runs._measured(_entry(Canned(updates=9), own=True), STORES)


def test_a_peer_that_does_not_start_is_said_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def missing(_: Stores) -> AsyncIterator[Canned]:
        raise BenchmarkError("it ended with 1 while it started")
        yield Canned()

    entries = (Entry("missing", "a test", missing), _entry(Canned(), own=True))
    monkeypatch.setattr(runs, "ENTRIES", entries)
    monkeypatch.setattr(runs, "redis_private", lambda: nullcontext(""))
    monkeypatch.setattr(runs, "database_private", lambda *_: nullcontext({}))
    result = runs.run()
    assert {figure.name.partition(":")[0] for figure in result.figures} == {"canned"}
    assert result.facts["missing"] == "not measured: it ended with 1 while it started"
    monkeypatch.setattr(runs, "ENTRIES", (Entry("missing", "a test", missing, own=True),))
    with pytest.raises(BenchmarkError, match="ended with 1"):
        runs.run()


def test_a_peer_that_cannot_be_had_leaves_nothing_behind_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PEERS", tmp_path)

    def refuses(*_: str) -> None:
        raise BenchmarkError("uv pip ended with 1")

    monkeypatch.setattr(peers, "_uv", refuses)
    peer = Peer("nobody", "1.0", "no-such-package")
    with pytest.raises(BenchmarkError, match="uv pip"):
        peer_installed(peer)
    assert list(tmp_path.iterdir()) == []


def test_a_peer_is_installed_once_for_what_it_is_pinned_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(peers, "PEERS", tmp_path)

    def installs(*arguments: str) -> None:
        asked.append(arguments)
        (tmp_path / "somebody-1.0").mkdir(exist_ok=True)

    monkeypatch.setattr(peers, "_uv", installs)
    for more in ((), (), ("langgraph==1.2.22",)):
        peer_installed(Peer("somebody", "1.0", "some-package", more))
    assert [arguments[-1] for arguments in asked if arguments[0] == "pip"] == [
        "some-package==1.0",
        "langgraph==1.2.22",
    ]


_SERVER = """
import http.server, subprocess, sys
from pathlib import Path
child = subprocess.Popen(["sleep", "300"])
Path("pids").write_text(f"{child.pid}")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_is_ended_with_what_it_started(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-c", _SERVER, str(port)]
    ready = f"http://127.0.0.1:{port}/"
    with server_started(argv, name="a server", folder=tmp_path, environment={}, ready=ready):
        child = int((tmp_path / "pids").read_text())
        assert psutil.pid_exists(child)
    _, alive = psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    if alive:
        os.kill(child, signal.SIGKILL)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_ends_at_once_is_said(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(3)"]
    with (
        pytest.raises(BenchmarkError, match="ended with 3"),
        server_started(argv, name="a server", folder=tmp_path, environment={}, ready="http://127.0.0.1:1/"),
    ):
        raise AssertionError("it cannot be ready")
