"""`python -m benchmarks [NAME...] [--list]`: runs benchmarks, keeps their results, refreshes the page."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import psutil

from benchmarks import (
    api,
    billing_crash,
    crash,
    ingest,
    portal,
    preview,
    provision,
    runs,
    runtime,
    runtime_crash,
)
from benchmarks.figures import Machine, Record, Result
from benchmarks.page import ROOT, page_refresh, record_write
from benchmarks.private import freehold_removed_at_end
from benchmarks.progress import say

#: Every benchmark there is, in the order they run. `ingest` loads Django for a database of its own, so it is last.
BENCHMARKS: dict[str, Callable[[], Result]] = {
    "provision": provision.run,
    "preview": preview.run,
    "runtime": runtime.run,
    "runs": runs.run,
    "runtime_crash": runtime_crash.run,
    "api": api.run,
    "portal": portal.run,
    "crash": crash.run,
    "billing_crash": billing_crash.run,
    "ingest": ingest.run,
}
NAMES = tuple(BENCHMARKS)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the real components.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if absent")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and end")
    options = parser.parse_args(arguments)
    if options.list:
        for name, run in BENCHMARKS.items():
            print(f"{name:10} {(sys.modules[run.__module__].__doc__ or name).splitlines()[0]}")
        return 0
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, _end)
    failed = _run([name for name in NAMES if name in options.names or not options.names])
    page_refresh(NAMES)
    return 1 if failed else 0


def _run(names: list[str]) -> list[str]:
    """Runs them; the names of those that gave no result. One that fails does not keep the others from running."""
    failed, commit = [], _commit()
    with freehold_removed_at_end():
        for name in names:
            say(f"{name}: starts")
            started = time.monotonic()
            try:
                result = BENCHMARKS[name]()
            except Exception as error:  # whatever went wrong is said, and the next one runs
                say(f"{name}: FAILED, no result: {type(error).__name__}: {error}")
                failed.append(name)
                continue
            took = time.monotonic() - started
            record_write(_record(result, took, commit))
            say(f"{name}: done in {took:.0f} s")
    return failed


def _record(result: Result, took_s: float, commit: str) -> Record:
    return Record(
        result=result,
        took_s=round(took_s, 1),
        machine=_machine(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=f"python -m benchmarks {result.name}",
        commit=commit,
        note=os.environ.get("BENCH_NOTE", ""),
    )


def _machine() -> Machine:
    return Machine(
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 1024**3, 1),
        cpu=_cpu_model(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else "unknown"


def _commit() -> str:
    """Of the code that is measured; `+changes` where files differ from it (results and the page do not count)."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks", ":!docs", ":!tests")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _end(number: int, frame: FrameType | None) -> None:
    """A polite end goes through the clean-up as an error does."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
