"""A real runtime in a process of its own, and a control plane that only takes usage events."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from embedded.ports import free_port

API_KEY = "test-bootstrap-key-0123456789"
ADMIN_KEY = "test-admin-key-0123456789abc"
ENCRYPTION_KEYS = "t1:dGVzdC1lbmNyeXB0aW9uLWtleS0wMTIzNDU2Nzg5YWI="
USAGE_TOKEN = "test-usage-token-0123456789"
#: Longer than a start ever takes; a machine that is busy with other tests needs it.
START_S = 90


@dataclass
class RuntimeProcess:
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    started_in_s: float = 0.0

    def http(self, key: str | None = API_KEY) -> httpx.Client:
        headers = {"x-api-key": key} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def sdk(self, key: str = API_KEY) -> LangGraphClient:
        return get_client(url=self.url, api_key=key, timeout=30)

    def ingest(self, *documents: dict[str, str]) -> dict[str, Any]:
        with self.http() as http:
            answer = http.post("/documents", json={"documents": list(documents)})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def kill(self) -> None:
        """As a crash: no goodbye. Ends the workers of the process too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def runtime_environment(database_url: str, **more: str) -> dict[str, str]:
    base = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "LC_ALL": "C.UTF-8",
    }
    own = {"RUNTIME_DATABASE_URL": database_url, "RUNTIME_API_KEY": API_KEY, "RUNTIME_ADMIN_KEY": ADMIN_KEY}
    return base | own | {"RUNTIME_TENANT": "acme", "RUNTIME_ENCRYPTION_KEYS": ENCRYPTION_KEYS} | more


@contextmanager
def runtime_started(
    folder: Path,
    environment: dict[str, str],
    *,
    manifest: Path | None = None,
    workers: int = 1,
    until: str = "/ready",
    arguments: Sequence[str] = (),
) -> Iterator[RuntimeProcess]:
    """`python -m tenant_runtime serve` until `until` answers 200; stopped by SIGTERM at the end."""
    port = free_port()
    argv = [sys.executable, "-m", "tenant_runtime", "serve", "--port", str(port), "--workers", str(workers)]
    argv += arguments
    if manifest is not None:
        argv += ["--manifest", str(manifest)]
    log = folder / f"runtime-{port}.log"
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    runtime = RuntimeProcess(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until(lambda: _answers(runtime, until), START_S, f"runtime to be ready; log: {log}")
        runtime.started_in_s = time.monotonic() - begun
        yield runtime
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                runtime.kill()
                raise


@dataclass
class WorkerProcess:
    """A worker without a port."""

    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextmanager
def worker_started(
    folder: Path, environment: dict[str, str], *, manifest: Path | None = None
) -> Iterator[WorkerProcess]:
    """`python -m tenant_runtime worker` from its ready mark on; stopped by SIGTERM at the end."""
    state_dir = folder / f"worker-{uuid.uuid4().hex[:8]}"
    state_dir.mkdir()
    argv = [sys.executable, "-m", "tenant_runtime", "worker"]
    if manifest is not None:
        argv += ["--manifest", str(manifest)]
    log = state_dir / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=environment | {"RUNTIME_STATE_DIR": str(state_dir)}, stdout=output, stderr=output
        )
    worker = WorkerProcess(process, log)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        return (state_dir / "ready").exists()

    try:
        wait_until(ready, START_S, f"the worker to be ready; log: {log}")
        assert (state_dir / "ready").read_text() == str(process.pid)
        yield worker
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                raise


def journal_read(path: Path) -> list[dict[str, Any]]:
    """What agents of steady.py have written down, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _answers(runtime: RuntimeProcess, path: str) -> bool:
    assert runtime.process.poll() is None, runtime.log.read_text()[-3000:]
    try:
        return httpx.get(f"{runtime.url}{path}", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(probe: Any, within_s: float, what: str) -> Any:
    """The first true answer of `probe`, asked often; AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {within_s} s for {what}")


@dataclass
class ModelProcess:
    """The offline model as a process of its own: its counters are another party's."""

    url: str

    def counters(self) -> dict[str, int]:
        return dict(httpx.get(f"{self.url}/counters", timeout=5).json())

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/models", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def model_started(port: int | None = None) -> Iterator[ModelProcess]:
    """`python -m tenant_runtime model` until the end of the block."""
    port = port or free_port()
    argv = [sys.executable, "-m", "tenant_runtime", "model", "--port", str(port)]
    process = subprocess.Popen(argv, env=runtime_environment("postgresql://unused/unused"))
    model = ModelProcess(f"http://127.0.0.1:{port}/v1")
    try:
        wait_until(model.answers, START_S, "the model")
        yield model
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class UsageSink:
    """The control plane's ingest endpoint: keeps each (source, id) once, can be told to fail."""

    url: str = ""
    events: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    fail_with: int | None = None
    refuse_types: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        return [event for event in list(self.events.values()) if event["type"] == type_]

    def take(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        results = []
        for event in batch:
            key = (event["source"], event["id"])
            if event["type"] in self.refuse_types:
                outcome = "rejected"
            elif key in self.events:
                outcome = "duplicate" if self.events[key] == event else "conflict"
            else:
                self.events[key], outcome = event, "accepted"
            results.append({"id": event["id"], "outcome": outcome, "reason": None})
        names = ("accepted", "duplicate", "conflict", "rejected")
        counts = {name: sum(result["outcome"] == name for result in results) for name in names}
        return {**counts, "results": results}


@contextmanager
def usage_sink() -> Iterator[UsageSink]:
    sink = UsageSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.tokens.add(self.headers.get("Authorization", ""))
            assert self.headers["Content-Type"] == "application/cloudevents-batch+json"
            status, answer = 200, b"{}"
            if sink.fail_with is not None:
                status = sink.fail_with
            else:
                batch = json.loads(body)
                sink.batches.append(len(batch))
                answer = json.dumps(sink.take(batch)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_address[1]}/api/v1/usage/events"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
