"""Crashes of metering: SIGKILLs at named moments and at random, Postgres stopped immediately, answers to COMMIT eaten.

One event lost or counted twice, or one invoice missing, doubled or off by a cent, fails the benchmark: its zeros
are held, not counted.
"""

import json
from typing import Any

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.measured import report_of
from benchmarks.progress import say

TIMEOUT_S = 3600
#: What is struck, and how the figure calls it.
_BLOWS = {
    "kill ingest": "ingest killed: until senders are answered again",
    "kill api": "the whole API killed: until senders are answered again",
    "closed": "a month's close after its last kill: until all is invoiced",
    "postgres": "Postgres stopped immediately and started: until senders are answered again",
}


def run() -> Result:
    say("kills of ingest, API, Postgres, pusher and close (tests/billing/crash/measure.py): some minutes")
    text = report_of("tests/billing/crash/measure.py", timeout_s=TIMEOUT_S)
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return Result(name="billing_crash", figures=_figures(lines), facts=_facts(lines))


def _figures(lines: list[dict[str, Any]]) -> list[Figure]:
    figures = [
        spread(name, "s", [float(line["recovery_s"]) for line in lines if line["what"] == what])
        for what, name in _BLOWS.items()
    ]
    events = sum(int(line["events"]) for line in lines if line["what"] == "checked")
    figures.append(single("acknowledged events lost", "events", 0.0, n=events))
    figures.append(single("events counted twice", "events", 0.0, n=events))
    invoices = sum(int(line["invoices"]) for line in lines if line["what"] == "invoiced")
    figures.append(single("invoices missing, doubled or wrong", "invoices", 0.0, n=invoices))
    return figures


def _facts(lines: list[dict[str, Any]]) -> dict[str, str]:
    blows = [str(line["what"]) for line in lines]
    eaten = next(line for line in lines if line["what"] == "commits")
    return {
        "kills of ingest": str(blows.count("kill ingest")),
        "kills of the API": str(blows.count("kill api")),
        "kills of the runtime's pusher": str(blows.count("kill pusher")),
        "kills of a month's close": str(blows.count("kill close")),
        "immediate stops of Postgres": str(blows.count("postgres")),
        "commits whose answer was eaten, whose request was": f"{eaten['answer']}, {eaten['request']}",
        "moments": "the named ones in turn, and as many random ones",
        "checked": "ids, raw events, rollups, samples and the usage query by a ledger of the generator's own",
    }
