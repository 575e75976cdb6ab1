"""Many kills of a worker at each point of a step, for `python -m benchmarks runtime_crash`; no test by its name.

FREEHOLD_RUNTIME_KILLS says how many kills each point gets.
"""

import json
import os
from pathlib import Path

import pytest

from tests.tenant_runtime.test_step_ledger import World, killed_everywhere, world

__all__ = ["world"]


@pytest.mark.timeout(7200)
async def test_kills(world: World) -> None:
    rounds = int(os.environ.get("FREEHOLD_RUNTIME_KILLS", "2"))
    report = await killed_everywhere(world, rounds=rounds)
    Path(os.environ["FREEHOLD_CRASH_REPORT"]).write_text(json.dumps(report))  # noqa: ASYNC240 - at the end
