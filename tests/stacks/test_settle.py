"""What a deprovision does before it takes anything apart: the runtime ends for good, its usage is delivered."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from contracts.stack import StackSecrets, StackSpec
from embedded.ports import free_port
from embedded.processes import processes_marked
from stacks.providers.local.host import units_boot, units_halt
from stacks.snapshots.settle import SILENCE_S, tenant_settle
from tests.stacks.site import EVENT, Site, Steps

SECRETS = StackSecrets(usage_token="token-of-acme", runtime_admin_key="admin-key-0123456789")


@pytest.fixture
def site(tmp_path: Path, standin_runtime: None) -> Iterator[Site]:
    home = tmp_path / "home"
    made = Site.make(home)
    yield made
    assert [report for report in units_halt(home / "tenants") if report.error] == []
    assert processes_marked(str(home)) == []


class Ingest(HTTPServer):
    """Answers as the control plane's ingest does; `outcomes` by event id, `accepted` where nothing is said."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), Answer)
        self.outcomes: dict[str, str] = {}
        self.batches: list[list[str]] = []
        self.tokens: set[str] = set()
        self.failures = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ingest"


class Answer(BaseHTTPRequestHandler):
    server: Ingest

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.tokens.add(self.headers["Authorization"])
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
            return
        ids = [event["id"] for event in body]
        self.server.batches.append(ids)
        results = [{"id": id_, "outcome": self.server.outcomes.get(id_, "accepted")} for id_ in ids]
        counts = {
            name: sum(result["outcome"] == name for result in results)
            for name in ("accepted", "duplicate", "conflict", "rejected")
        }
        answer = json.dumps({**counts, "results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def ingest() -> Iterator[Ingest]:
    server = Ingest()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def report(site: Site, count: int) -> None:
    """Usage that the runtime has not delivered."""
    for number in range(count):
        site.sql(
            EVENT.replace("'{}'", "%s"),
            ["s", f"e{number:03}", json.dumps({"id": f"e{number:03}"}), "pending"],
        )


def settle(site: Site, url: str | None) -> str:
    runtime = site.spec.runtime.model_copy(update={"usage_url": url})
    spec: StackSpec = site.spec.model_copy(update={"runtime": runtime})
    return tenant_settle(spec, SECRETS, Steps().progress)


def test_the_runtime_ends_for_good_and_its_usage_is_delivered_in_order(site: Site) -> None:
    report(site, 230)
    with ingest() as server:
        server.failures = 1
        server.outcomes = {"e001": "duplicate", "e002": "rejected"}
        said = settle(site, server.url)
        assert said == "The runtime has ended, and all its usage is delivered (230 events just now)."
        assert [len(batch) for batch in server.batches] == [200, 30]
        assert [id_ for batch in server.batches for id_ in batch] == [
            f"e{number:03}" for number in range(230)
        ]
        assert server.tokens == {"Bearer token-of-acme"}
        # Again, as a retry does: nothing is sent twice.
        assert "(0 events just now)" in settle(site, server.url)
        assert len(server.batches) == 2
    assert site.sql("SELECT state, count(*) FROM usage_outbox GROUP BY 1 ORDER BY 1") == [
        ("delivered", 229), ("parked", 1),
    ]  # fmt: skip
    runtime = site.stores.runtime
    assert runtime is not None
    assert runtime.running() is None
    units_boot(site.home / "tenants")
    assert runtime.running() is None, "a boot of the machine must not bring it back"


def test_a_control_plane_that_is_away_keeps_no_tenant_from_being_deleted(site: Site) -> None:
    report(site, 3)
    began = time.monotonic()
    said = settle(site, f"http://127.0.0.1:{free_port()}/ingest")
    assert said == "The runtime has ended. 0 usage events delivered; 3 could not be (ConnectError)."
    assert time.monotonic() - began < SILENCE_S + 15
    assert site.sql("SELECT count(*) FROM usage_outbox WHERE state = 'pending'") == [(3,)]
