"""A sender as a process: one stream, in order, each batch again and again until it is answered, as the pusher does.

`python -m tests.billing.crash.sender '{"seed": …}'`. It sends until the file `stop` appears in its folder and the batch
in hand is answered, or `batches` are; then it is done. What it was answered goes to its journal, a line a batch, before
the next batch leaves. Knows nothing of the product but what goes over the wire.
"""

import http.client
import itertools
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.billing.crash.generator import Sent, Stream

TIMEOUT_S = 10.0
PAUSE_S = 0.02
#: A batch that is not answered for so long fails the case.
GIVE_UP_S = 90.0


@dataclass(frozen=True)
class Errand:
    """What one sender is to do. `port` is the ingest's, `path` where it takes batches."""

    stream: Stream
    port: int
    path: str
    folder: Path
    name: str
    token: str = ""
    batches: int | None = None
    plant: str | None = None
    timeout_s: float = TIMEOUT_S

    @property
    def journal(self) -> Path:
        return self.folder / f"{self.name}.journal"

    def as_argument(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> "Errand":
        given = json.loads(text)
        stream = given.pop("stream")
        at = datetime.fromisoformat(stream.pop("at"))
        return cls(stream=Stream(**stream, at=at), folder=Path(given.pop("folder")), **given)


@dataclass(frozen=True)
class Answered:
    """One line of a journal: the batch's place in the stream, how often it was sent, what the answers were."""

    batch: int
    attempts: int
    outcomes: list[str]


@dataclass
class Sender:
    errand: Errand
    connection: http.client.HTTPConnection | None = None
    chance: random.Random = field(default_factory=random.Random)

    def run(self) -> None:
        stop = self.errand.folder / "stop"
        batches = self.errand.stream.batches()
        with self.errand.journal.open("a", encoding="utf-8") as journal:
            for number, batch in enumerate(itertools.islice(batches, self.errand.batches)):
                if stop.exists() and self.errand.batches is None:
                    return
                answered = self._until_answered(number, batch)
                journal.write(json.dumps(asdict(answered)) + "\n")
                journal.flush()

    def _until_answered(self, number: int, batch: list[Sent]) -> Answered:
        texts = [each.text for each in batch]
        ids = [each.event["id"] for each in batch]
        end = time.monotonic() + GIVE_UP_S
        for attempt in itertools.count(1):
            outcomes = self._ask(texts, ids)
            if outcomes is not None:
                return Answered(number, attempt, outcomes)
            if time.monotonic() > end:
                raise SystemExit(f"batch {number} was not answered in {attempt} attempts")
            time.sleep(PAUSE_S * self.chance.uniform(0.5, 1.5))
            if self.errand.plant == "retry_with_new_ids":
                texts = [_renamed(text, f"~{attempt}") for text in texts]
                ids = [f"{each.event['id']}~{attempt}" for each in batch]
        raise AssertionError("count() does not end")

    def _ask(self, texts: list[str], ids: list[str]) -> list[str] | None:
        """The outcomes, or None where nobody can know what became of the batch."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(
                    "127.0.0.1", self.errand.port, timeout=self.errand.timeout_s
                )
            headers = {
                "Content-Type": "application/cloudevents-batch+json",
                "Authorization": f"Bearer {self.errand.token}",
            }
            self.connection.request("POST", self.errand.path, f"[{','.join(texts)}]".encode(), headers)
            response = self.connection.getresponse()
            body = response.read()
            answer: dict[str, Any] = json.loads(body) if response.status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return None
        results = answer.get("results", [])
        if [result["id"] for result in results] != ids:
            return None
        return [str(result["outcome"]) for result in results]


def _renamed(text: str, suffix: str) -> str:
    event = json.loads(text)
    return json.dumps({**event, "id": event["id"].split("~")[0] + suffix})


def journal_read(path: Path) -> list[Answered]:
    if not path.exists():
        return []
    return [Answered(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    Sender(Errand.parse(sys.argv[1])).run()
