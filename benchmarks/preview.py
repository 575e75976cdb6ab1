"""A preview that finds nothing to change: the price of asking Pulumi for a plan."""

import time

from benchmarks.figures import Result, spread
from benchmarks.private import BenchmarkError, answer, freehold_shared, operation_wait
from benchmarks.progress import say

TIMES = 7


def run() -> Result:
    freehold = freehold_shared()
    slug = freehold.up["tenant"]["slug"]
    durations = []
    with freehold.client() as client:
        for _ in range(TIMES):
            started = time.monotonic()
            operation = answer(client.post(f"/tenants/{slug}/preview", json={}))["operation"]
            summary = operation_wait(client, operation["id"])["plan_summary"]
            durations.append(time.monotonic() - started)
            if any(summary[action] for action in ("create", "update", "replace", "delete")):
                raise BenchmarkError(f"the preview was to find nothing to change, and found {summary}")
            say(f"preview of {summary['same']} unchanged resources: {durations[-1]:.2f} s")
    facts = {"resources in the stack": str(summary["same"])}
    figure = spread("no-op preview of one tenant, request to succeeded", "s", durations)
    return Result(name="preview", figures=[figure], facts=facts)
