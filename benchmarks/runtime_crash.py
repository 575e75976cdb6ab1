"""Crashes of a runtime's worker: SIGKILL at each point of a step, with a counting service and a model as judges.

One effect that happened twice, and one model call billed twice, fail the benchmark: its zeros are held, not counted.
FREEHOLD_RUNTIME_KILLS says how many kills each point gets.
"""

import json
from collections import Counter
from typing import Any

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.measured import report_of
from benchmarks.progress import say

TIMEOUT_S = 7200


def run() -> Result:
    say("kills of a worker at each point of a step (tests/tenant_runtime/measure_crashes.py): some minutes")
    text = report_of("tests/tenant_runtime/measure_crashes.py", timeout_s=TIMEOUT_S)
    kills: list[dict[str, Any]] = json.loads(text)
    return Result(name="runtime_crash", figures=_figures(kills), facts=_facts(kills))


def _figures(kills: list[dict[str, Any]]) -> list[Figure]:
    return [
        single("external effects that happened twice", "events", 0.0, n=len(kills)),
        single("model calls billed twice", "events", 0.0, n=len(kills)),
        spread(
            "from the kill until a restarted runtime had finished the thread",
            "s",
            [float(each["done_s"]) for each in kills],
        ),
    ]


def _facts(kills: list[dict[str, Any]]) -> dict[str, str]:
    struck = Counter(f"{each['point']} of {each['tool']}" for each in kills)
    return {
        "kills": str(len(kills)),
        "points": ", ".join(sorted(struck)),
        "kills at each point": str(min(struck.values())),
        "judges": "an HTTP service that counts effects and keys; the counters of a model in a process of its own",
        "the thread is finished by": "a runtime that is started again: its start, of some seconds, is in the time",
    }
