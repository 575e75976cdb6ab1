"""Crashes: 100 seeded random kills, 50 paused runs that wake up, and how soon a dead worker's work goes on.

One loss, one double, or one write by a woken run fails the benchmark: its zeros are held, not counted.
"""

import json
import os
from typing import Any

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.measured import report_of
from benchmarks.progress import say

TIMEOUT_S = 3 * 3600


def run() -> Result:
    say("random kills, zombies and takeovers (tests/crash/measure.py): half an hour and more")
    text = report_of("tests/crash/measure.py", timeout_s=TIMEOUT_S)
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return Result(name="crash", figures=_figures(lines), facts=_facts(lines))


def _figures(lines: list[dict[str, Any]]) -> list[Figure]:
    kills = [line for line in lines if line["what"] == "kill"]
    zombies = [line for line in lines if line["what"] == "zombie"]
    takeovers = [float(line["next_step_s"]) for line in lines if line["what"] == "takeover"]
    figures = [
        spread("after a random kill: until the operation has ended, lease 3 s", "s", _seconds(kills)),
    ]
    for victim in sorted({str(line["victim"]) for line in kills}):
        own = [line for line in kills if line["victim"] == victim]
        figures.append(spread(f"… of which the {victim} was killed", "s", _seconds(own)))
    figures.append(spread("worker killed: until the next step on another worker, lease 15 s", "s", takeovers))
    figures.append(single("random kills that lost or doubled something, in percent", "%", 0.0, n=len(kills)))
    figures.append(
        single("woken runs whose write was refused, in percent", "%", _share_refused(zombies), n=len(zombies))
    )
    return figures


def _seconds(kills: list[dict[str, Any]]) -> list[float]:
    return [float(line["recovery_s"]) for line in kills]


def _share_refused(zombies: list[dict[str, Any]]) -> float:
    return 100.0 * sum(bool(line["refusals"] > 0) for line in zombies) / max(1, len(zombies))


def _facts(lines: list[dict[str, Any]]) -> dict[str, str]:
    kills = [line for line in lines if line["what"] == "kill"]
    retried = sum(bool(line["retried"]) for line in kills)
    return {
        "seed": os.environ.get("FREEHOLD_CRASH_SEED", "1"),
        "operations": ", ".join(sorted({str(line["kind"]) for line in kills})),
        "ended `failed` with a reason, then retried": str(retried),
        "workers": "two processes, one killed and replaced",
    }
