"""Crashes of metering: SIGKILLs at named moments and at random, Postgres stopped immediately, answers to COMMIT eaten.

One event lost or counted twice fails the benchmark: its zeros are held, not counted.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.private import BenchmarkError
from benchmarks.progress import say

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 3600
#: What is struck, and how the figure calls it.
_BLOWS = {
    "kill ingest": "ingest killed: until senders are answered again",
    "kill api": "the whole API killed: until senders are answered again",
    "postgres": "Postgres stopped immediately and started: until senders are answered again",
}


def run() -> Result:
    folder = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    report = folder / "report.jsonl"
    report.touch()
    say("kills of ingest, API, Postgres and pusher (tests/billing/crash/measure.py): some minutes")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/billing/crash/measure.py"],
        cwd=ROOT,
        env={**os.environ, "FREEHOLD_CRASH_REPORT": str(report)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(
            f"a crash lost or doubled something; what was measured is in {report}:\n{done.stdout[-3000:]}"
        )
    lines: list[dict[str, Any]] = [json.loads(line) for line in report.read_text().splitlines()]
    shutil.rmtree(folder)
    return Result(name="billing_crash", figures=_figures(lines), facts=_facts(lines))


def _figures(lines: list[dict[str, Any]]) -> list[Figure]:
    figures = [
        spread(name, "s", [float(line["recovery_s"]) for line in lines if line["what"] == what])
        for what, name in _BLOWS.items()
    ]
    events = sum(int(line["events"]) for line in lines if line["what"] == "checked")
    figures.append(single("acknowledged events lost", "events", 0.0, n=events))
    figures.append(single("events counted twice", "events", 0.0, n=events))
    return figures


def _facts(lines: list[dict[str, Any]]) -> dict[str, str]:
    blows = [str(line["what"]) for line in lines]
    eaten = next(line for line in lines if line["what"] == "commits")
    return {
        "kills of ingest": str(blows.count("kill ingest")),
        "kills of the API": str(blows.count("kill api")),
        "kills of the runtime's pusher": str(blows.count("kill pusher")),
        "immediate stops of Postgres": str(blows.count("postgres")),
        "commits whose answer was eaten, whose request was": f"{eaten['answer']}, {eaten['request']}",
        "moments": "the named ones in turn, and as many random ones",
        "checked": "ids, raw events, rollups, samples and the usage query by a ledger of the generator's own",
    }
