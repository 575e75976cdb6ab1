"""Pages of the portal over a large fleet: server time, what a browser sees of it, and an event's way to the screen.

`BENCH_TENANTS`, `BENCH_OPERATIONS` and `BENCH_EVENTS` size it: 10,000, 100,000 and 5 million if they are not set.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Result
from benchmarks.ingest import database_private, redis_private
from benchmarks.private import ROOT, BenchmarkError

TIMEOUT_S = 3600


def run() -> Result:
    """In a process of its own: Django reads its settings once, and other benchmarks load it for other databases."""
    with (
        redis_private() as redis,
        database_private("freehold") as urls,
        tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder,
    ):
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.portal_measure", str(report)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": urls["freehold"], "REDIS_URL": redis},
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"the measurement ended with {done.returncode}")
        return Result.model_validate_json(report.read_text(encoding="utf-8"))
