"""The control plane's web process over a test's database; killed and started again, it keeps its port."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from embedded.ports import free_port

START_S = 60
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class PortalServer:
    database_url: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers; AssertionError with the log's end when it does not."""
        environment = {
            **os.environ,
            **self.environment,
            "DATABASE_URL": self.database_url,
            "FREEHOLD_PORT": str(self.port),
        }
        serve = [sys.executable, "-m", "uvicorn", "controlplane.config.asgi:application"]
        options = ["--port", str(self.port), "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [*serve, *options], env=environment, stdout=out, stderr=out, cwd=ROOT
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx.get(f"{self.address}/account/login/", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(f"the server did not come up: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
