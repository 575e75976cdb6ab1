"""Many kills and stops of workers at each point of a step, for `python -m benchmarks runtime_crash`; no test by name.

FREEHOLD_RUNTIME_KILLS says how many kills each point gets, FREEHOLD_RUNTIME_PAUSES how many workers are stopped until
their run is another's, FREEHOLD_RUNTIME_LANES how many runs are struck at once.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tenant_runtime.striking import CASES, killed_in_lanes, paused_in_lanes

LANES = int(os.environ.get("FREEHOLD_RUNTIME_LANES", "3"))

pytestmark = pytest.mark.timeout(7200)


def _kept(line: dict[str, Any]) -> None:
    with Path(os.environ["FREEHOLD_CRASH_REPORT"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def test_kills(tmp_path: Path, new_database: Callable[[], str]) -> None:
    kills = int(os.environ.get("FREEHOLD_RUNTIME_KILLS", "2"))
    killed_in_lanes(tmp_path, new_database, CASES * kills, lanes=LANES, kept=_kept)


def test_pauses(tmp_path: Path, new_database: Callable[[], str]) -> None:
    pauses = int(os.environ.get("FREEHOLD_RUNTIME_PAUSES", "9"))
    cases = (CASES * (pauses // len(CASES) + 1))[:pauses]
    paused_in_lanes(tmp_path, new_database, cases, lanes=LANES, kept=_kept)
