"""One running Freehold for the scenarios: a home of its own, started by the public command."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.ports import free_port
from embedded.processes import processes_marked

ROOT = Path(__file__).resolve().parent.parent.parent
TERMINAL = ("succeeded", "failed", "canceled")


@dataclass
class RunningFreehold:
    home: Path
    env: dict[str, str]
    model_url: str

    @property
    def up(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "up.json").read_text()))

    def command(self, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "freehold"), *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        up = self.up
        headers = {"Authorization": f"Bearer {key or up['api_key']}", "Accept": "application/json"}
        return httpx.request(method, f"{up['api_url']}{path}", json=body, headers=headers, timeout=30)

    def wait(self, operation_id: str, *, timeout_s: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            operation: dict[str, Any] = self.call("GET", f"/operations/{operation_id}").json()
            if operation["state"] in TERMINAL or time.monotonic() > deadline:
                return operation
            time.sleep(0.2)


def environment(home: Path, model_url: str) -> dict[str, str]:
    """A user's environment: none of the settings that the test run itself lives by."""
    dropped = ("DATABASE_URL", "REDIS_URL", "PULUMI_", "FREEHOLD_", "DJANGO_", "RUNTIME_", "MODEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {
        **kept,
        "FREEHOLD_HOME": str(home),
        "FREEHOLD_PORT": str(free_port()),
        "MODEL_BASE_URL": f"{model_url}/v1",
        "MODEL_NAME": "offline-rules-1",
        "MODEL_API_KEY": f"planted-model-key-{secrets.token_urlsafe(24)}",
    }


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """The stand-in model as a server of its own: its counters are the judge of the usage report."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tenant_runtime", "model", "--port", str(port)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/v1/models", timeout=2)
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def freehold(model_url: str) -> Iterator[RunningFreehold]:
    home = Path(tempfile.mkdtemp(prefix="freehold-scenario-"))
    running = RunningFreehold(home, environment(home, model_url), model_url)
    done = running.command("up", timeout_s=300)
    assert done.returncode == 0, done.stderr[-3000:]
    yield running
    running.command("down")
    assert processes_marked(str(home)) == []
    shutil.rmtree(home, ignore_errors=True)
