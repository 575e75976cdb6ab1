"""Crashes of a runtime's workers: SIGKILL at each point of a step and SIGSTOP past the lease, beside living workers.

One effect or bill too many, one run lost, or one row that a woken worker wrote fails the benchmark: its zeros are
held, not counted. FREEHOLD_RUNTIME_KILLS says how many kills each point gets, FREEHOLD_RUNTIME_PAUSES how many
workers are stopped.
"""

import json
from collections import Counter
from typing import Any

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.measured import report_of
from benchmarks.progress import say

TIMEOUT_S = 7200
Line = dict[str, Any]


def run() -> Result:
    say(
        "kills and stops of workers at each point of a step (tests/tenant_runtime/measure_crashes.py): minutes"
    )
    text = report_of("tests/tenant_runtime/measure_crashes.py", timeout_s=TIMEOUT_S)
    lines: list[Line] = [json.loads(line) for line in text.splitlines()]
    kills = [line for line in lines if line["what"] == "kill"]
    pauses = [line for line in lines if line["what"] == "pause"]
    return Result(name="runtime_crash", figures=figures_of(kills, pauses), facts=_facts(kills, pauses))


def figures_of(kills: list[Line], pauses: list[Line]) -> list[Figure]:
    return [
        spread(
            "worker killed: until the run's next step on another worker, lease 4 s",
            "s",
            [float(each["next_step_s"]) for each in kills],
        ),
        spread(
            "worker killed: until its run is finished, answered where a person is asked",
            "s",
            [float(each["done_s"]) for each in kills],
        ),
        single("external effects that happened twice", "events", 0.0, n=len(kills) + len(pauses)),
        single("model calls billed twice", "events", 0.0, n=len(kills) + len(pauses)),
        single("runs lost", "events", 0.0, n=len(kills) + len(pauses)),
        single(
            "writes of woken workers", "events", float(sum(each["written"] for each in pauses)), n=len(pauses)
        ),
    ]


def _facts(kills: list[Line], pauses: list[Line]) -> dict[str, str]:
    struck = Counter(f"{each['point']} of {each['tool']}" for each in kills)
    return {
        "kills": str(len(kills)),
        "points": ", ".join(sorted(struck)),
        "kills at each point": str(min(struck.values())),
        "workers stopped": f"{len(pauses)}, of which {sum(bool(each['within']) for each in pauses)} woken while "
        "another worker was within the run's next step, the others when it was over",
        "judges": "an HTTP service that counts effects and keys; the counters of a model in a process of its own; "
        "every row of the database before the wake and after it",
        "workers": "lanes side by side, each with a server that only serves, two workers and one run at a time; a "
        "killed worker is replaced by one whose code is imported already",
    }
