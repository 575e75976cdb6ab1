"""Benchmarks that are tests: a file of tests which fails where something is lost, and writes down what it measured."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.private import ROOT, BenchmarkError


def report_of(file: str, *, timeout_s: float) -> str:
    """What the tests of `file` wrote to FREEHOLD_CRASH_REPORT. Raises BenchmarkError when one failed; the report is
    kept then: half an hour of kills that held is not thrown away with the one that did not."""
    folder = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    report = folder / "report"
    report.touch()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env={**os.environ, "FREEHOLD_CRASH_REPORT": str(report)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(
            f"a crash lost or doubled something; what was measured is in {report}:\n{done.stdout[-3000:]}"
        )
    text = report.read_text()
    shutil.rmtree(folder)
    return text
