import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.processes import process_stop, processes_marked
from tests.stacks.engine import REPOSITORY, STANDIN, Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty state backend and machine folder; whatever still runs there at the end is a failure."""
    engine = Engine.at(tmp_path / "home")
    yield engine
    left = processes_marked(str(engine.tenants))
    for identity in left:
        process_stop(identity, grace_s=1)
    assert left == [], "the test left processes behind"


@pytest.fixture
def standin_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtime units of this test run the stand-in."""
    monkeypatch.setenv("FREEHOLD_RUNTIME_MODULE", STANDIN)


class Host:
    """The machine's verbs, as `freehold up` and `down` call them."""

    def __init__(self, tenants: Path) -> None:
        self.tenants = tenants

    def __call__(self, verb: str, *arguments: str) -> list[dict[str, object]]:
        done = self.run(verb, *arguments)
        assert done.returncode == 0, done.stderr
        reports: list[dict[str, object]] = json.loads(done.stdout)
        return reports

    def run(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "stacks.providers.local", verb, "--json"]
        argv += ["--tenants-dir", str(self.tenants), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=False)
