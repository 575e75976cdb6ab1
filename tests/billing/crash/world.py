"""One case: tenants with their senders, the process that takes what they send, and everything that may befall it."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from embedded.processes import wait_until
from tests.billing.crash.asking import QUESTIONS, Question, query_parameters, query_wire, span_asked
from tests.billing.crash.generator import Stream
from tests.billing.crash.judge import answers_wrong, stored_print, stored_wrong, usage_wrong
from tests.billing.crash.ledger import Ledger
from tests.billing.crash.points import Points
from tests.billing.crash.sender import TIMEOUT_S, Answered, Errand, journal_read
from tests.billing.crash.site import ROOT, Site

SLUGS = ("acme", "globex")
REPLICAS = 2
#: How long a batch may take to be answered after the last blow.
QUIET_S = 60.0


@dataclass
class World:
    """`kind` is what answers: `ingest`, the service behind a thin server, or `api`, the whole control plane."""

    site: Site
    root: Path
    seed: int = 1
    kind: Literal["ingest", "api"] = "ingest"
    plants: tuple[str, ...] = ()
    postgres_port: int | None = None
    #: What the ledger starts from: time of the first event's possible end.
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    senders: list[subprocess.Popen[bytes]] = field(default_factory=list)
    server: int | None = None
    paused: int | None = None

    def __post_init__(self) -> None:
        self.points = Points(self.root / "points")
        self.journals = self.root / "journals"
        self.journals.mkdir()
        self.database = self.site.database()
        self.port = self.site.forker.listen()
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        self.streams = [
            Stream(self.seed, slug, replica, self.at) for slug in SLUGS for replica in range(REPLICAS)
        ]
        self.token, self.tenants = self._tenants()

    def _tenants(self) -> tuple[str, dict[str, str]]:
        if self.kind == "ingest":
            return "", {slug: str(uuid.uuid4()) for slug in SLUGS}
        out = self.root / "tenants.json"
        self._fork("tenants", slugs=SLUGS, out=str(out))
        assert wait_until(out.exists, 60), self.site.forker.log("tenants")
        made = json.loads(out.read_text())
        return made["key"], made["tenants"]

    def _fork(self, role: str, **command: Any) -> int:
        port = self.postgres_port or self.site.server.port
        return self.site.forker.fork(role, database=self.database, postgres_port=port, **command)

    # --- who takes and who sends -------------------------------------------------------------------------
    def serve(self) -> None:
        """A fresh process behind the port."""
        self.server = self._fork(
            self.kind, port=self.port, points=str(self.points.folder), plants=self.plants
        )

    def kill(self, pid: int | None = None) -> None:
        """SIGKILL of the process that serves, and nothing halts or waits in its name any more."""
        victim = pid or self.server
        assert victim is not None, "nobody serves"
        self.site.forker.kill(victim)
        self.points.clear()

    def kill_at(self, point: str) -> None:
        """Kills it when the point is reached, and lets another one serve."""
        self.points.arm(point)
        pid = self.points.wait(point)
        assert pid is not None, f"{point} is not passed: {self.log()}"
        self.kill(pid)
        self.serve()

    def kill_after(self, seconds: float) -> None:
        """Kills it wherever it is by then, and lets another one serve."""
        time.sleep(seconds)
        self.kill()
        self.serve()

    def path(self, slug: str) -> str:
        return f"/ingest/{self.tenants[slug]}/{slug}" if self.kind == "ingest" else "/api/v1/usage/events"

    @contextmanager
    def paused_at(self, point: str) -> Iterator[None]:
        """Stops the process that comes to the point, as a host does that hangs; it goes on at the end of the block."""
        self.points.arm(point)
        pid = self.points.wait(point)
        assert pid is not None, f"{point} is not passed: {self.log()}"
        os.kill(pid, signal.SIGSTOP)
        self.points.release(point)
        self.paused = pid
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def send(
        self,
        *,
        twins: int = 0,
        batches: Mapping[Stream, int] | None = None,
        plant: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Starts a sender for each stream, and for the first ones a twin that sends the same beside it. With
        `batches` they send so many, from the first one on, under names of their own."""
        names = [(stream, "first") for stream in self.streams] + [(s, "twin") for s in self.streams[:twins]]
        for stream, name in names:
            errand = Errand(
                stream=stream, port=self.port, path=self.path(stream.slug), folder=self.journals,
                name=f"{'again-' if batches else ''}{name}-{stream.slug}-{stream.replica}",
                token=self.token, batches=batches[stream] if batches else None,
                plant=plant, timeout_s=timeout_s,
            )  # fmt: skip
            argv = [sys.executable, "-m", "tests.billing.crash.sender", errand.as_argument()]
            self.senders.append(subprocess.Popen(argv, cwd=ROOT))

    def answered(self) -> int:
        """How many batches have been answered so far."""
        return sum(path.read_bytes().count(b"\n") for path in self.journals.glob("*.journal"))

    def progress(self, batches: int, within_s: float = 30.0) -> None:
        """Waits until so many more batches were answered."""
        wanted = self.answered() + batches
        assert wait_until(lambda: self.answered() >= wanted, within_s, poll_s=0.005), self.log()

    def settle(self) -> None:
        """Senders end when their batch in hand is answered."""
        (self.journals / "stop").touch()
        end = time.monotonic() + QUIET_S
        for sender in self.senders:
            code = sender.wait(max(0.1, end - time.monotonic()))
            assert code == 0, f"a sender ended with {code}: {self.log()}"
        self.senders.clear()
        (self.journals / "stop").unlink()

    def stop(self) -> None:
        for sender in self.senders:
            sender.kill()
            sender.wait()
        for pid in (self.server, self.paused):
            if pid is not None:
                self.site.forker.kill(pid)

    # --- what must hold ----------------------------------------------------------------------------------
    def journal(self, stream: Stream, name: str) -> list[Answered]:
        return journal_read(self.journals / f"{name}-{stream.slug}-{stream.replica}.journal")

    def sent(self) -> dict[Stream, int]:
        """Batches of each stream that were answered; a twin may have got further than the first."""
        return {
            stream: max(len(self.journal(stream, name)) for name in ("first", "twin"))
            for stream in self.streams
        }

    def violations(self) -> list[str]:
        """Everything that is lost, doubled or wrong, by the generator's ledger; empty when all is well."""
        ledger = Ledger.of(self.sent())
        found: list[str] = []
        for stream in self.streams:
            told = [lines for name in ("first", "twin") if (lines := self.journal(stream, name))]
            found += answers_wrong(stream, told)
        found += stored_wrong(self.site.url(self.database), ledger, self.tenants)
        start, end = span_asked(self.at)
        for slug in SLUGS:
            for question in QUESTIONS:
                expected = ledger.usage(
                    slug, question.meter, start, end,
                    window=question.window, group_by=question.group_by, zone=question.zone,
                )  # fmt: skip
                found += usage_wrong(f"{slug} {question}", self._asked(question, slug), expected)
        return found

    def replay_changes(self) -> list[str]:
        """Sends everything once more; what was then answered or stored otherwise than as known."""
        before, sent = self.stored(), self.sent()
        self.send(batches=sent)
        for sender in self.senders:
            assert sender.wait(QUIET_S) == 0, self.log()
        self.senders.clear()
        found = []
        for stream in self.streams:
            lines = journal_read(self.journals / f"again-first-{stream.slug}-{stream.replica}.journal")
            assert len(lines) == sent[stream]
            found += [
                f"accepted again in batch {line.batch}" for line in lines if "accepted" in line.outcomes
            ]
        return found + ([] if self.stored() == before else ["a replay has changed what is stored"])

    def stored(self) -> list[tuple[Any, ...]]:
        return stored_print(self.site.url(self.database))

    def counts(self) -> dict[str, int]:
        """How many batches were answered, and how many events were to be counted."""
        sent = self.sent()
        return {"batches": sum(sent.values()), "events": len(Ledger.of(sent).facts)}

    def _asked(self, question: Question, slug: str) -> dict[str, Any]:
        start, end = span_asked(self.at)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if self.kind == "ingest":
            body = json.dumps(query_wire(question, tenant_id=self.tenants[slug], start=start, end=end))
            connection.request("POST", "/query", body.encode())
        else:
            parameters = urllib.parse.urlencode(query_parameters(question, start=start, end=end))
            headers = {"Authorization": f"Bearer {self.token}"}
            connection.request("GET", f"/api/v1/tenants/{slug}/usage?{parameters}", headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.status == 200, f"{response.status} {text[:500]!r} {self.log()}"
        return dict(json.loads(text))

    def log(self) -> str:
        return self.site.forker.log(self.kind)
