"""The world outside, as judge: a service that counts what was done to it, and the crash points of a worker."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.tenant_runtime.support import RuntimeProcess, wait_until

#: Longer than the tools that ask wait for an answer.
GATE_S = 15.0


@dataclass
class Effects:
    """`done` counts effects by what they are; a key seen before has none for those that pass it on honestly. An effect
    with a gate is counted, and answered once the gate is open."""

    url: str = ""
    done: Counter[str] = field(default_factory=Counter)
    keys: list[tuple[str, str]] = field(default_factory=list)
    delay_s: float = 0.0
    by_key: bool = False
    gates: dict[str, threading.Event] = field(default_factory=dict)

    def duplicates(self) -> dict[str, int]:
        return {what: n for what, n in self.done.items() if n > 1}


@contextmanager
def effects_started() -> Iterator[Effects]:
    effects = Effects()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            what = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["what"]
            key = self.headers["Idempotency-Key"]
            with lock:
                known = any(seen == key for _, seen in effects.keys)
                effects.keys.append((what, key))
                if not (effects.by_key and known):
                    effects.done[what] += 1
            threading.Event().wait(effects.delay_s)
            if (gate := effects.gates.get(what)) is not None:
                gate.wait(GATE_S)
            body = json.dumps({"done": what}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever asked may have been killed meanwhile."""

    server = Server(("127.0.0.1", 0), Handler)
    effects.url = f"http://127.0.0.1:{server.server_address[1]}/effects"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield effects
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class CrashPoints:
    """A folder that FREEHOLD_CRASH_POINTS names."""

    folder: Path

    def arm(self, name: str) -> None:
        (self.folder / f"{name}.armed").touch()

    def kill_at(self, name: str, runtime: RuntimeProcess, *, within_s: float = 30) -> None:
        """Waits for the armed point, and kills the process that halts there."""
        reached = self.folder / f"{name}.reached"
        wait_until(lambda: reached.exists() and reached.read_text(), within_s, f"{name} to be reached")
        runtime.kill()
        reached.unlink()

    def reached(self, name: str, *, within_s: float = 30) -> int:
        """Waits for the armed point; the process that halts there."""
        mark = self.folder / f"{name}.reached"
        return int(wait_until(lambda: mark.exists() and mark.read_text(), within_s, f"{name} to be reached"))

    def release(self, name: str) -> None:
        """Whoever halts there goes on, if it still can."""
        (self.folder / f"{name}.reached").unlink()

    def passed(self, name: str) -> int:
        trace = self.folder / "trace"
        lines = trace.read_text().splitlines() if trace.exists() else []
        return sum(line.split()[1] == name for line in lines)
