"""A stack's state for somebody who plans elsewhere: read by the CLI, and without any secret before it is passed on."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from contracts.export import state_blinded
from contracts.redaction import MIN_LENGTH
from contracts.stack import StackSpec
from controlplane.core.errors import OperatorError, RetryLater
from controlplane.operations.job import engine_environment

log = structlog.get_logger()

_TIMEOUT_S = 60
#: Each takes about a second and 100 MB: more at once would starve the process that answers requests.
_turns = threading.BoundedSemaphore(2)
_TURN_WAIT_S = 20.0


def state_export(*, spec: StackSpec, known: Collection[str | None]) -> dict[str, Any] | None:
    """The deployment with every secret blinded, also where one of `known` stands unmarked; None when the stack has no
    state. OperatorError when it cannot be read, RetryLater when too many are read at once."""
    if not _turns.acquire(timeout=_TURN_WAIT_S):
        raise RetryLater("Too many stacks are exported at once.", code="export_busy")
    try:
        exported = _exported(spec)
    finally:
        _turns.release()
    if exported is None:
        return None
    given = [each for each in known if each is not None]
    given += [urlsplit(each).password or "" for each in given if "://" in each]
    secrets = {each for each in given if len(each) >= MIN_LENGTH}
    try:
        blinded: dict[str, Any] = state_blinded(exported, sorted(secrets, key=len, reverse=True))
    except ValueError as error:
        raise _unreadable(str(error)) from None
    return blinded


def _exported(spec: StackSpec) -> dict[str, Any] | None:
    work = Path(settings.FREEHOLD_HOME) / "pulumi" / "work"
    work.mkdir(parents=True, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=work) as folder:
        project = {"name": spec.project, "runtime": "python"}
        (Path(folder) / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")
        argv = [
            str(Path(settings.FREEHOLD_PULUMI) / "bin" / "pulumi"),
            "--non-interactive",
            "stack",
            "export",
        ]
        argv += ["--show-secrets", "--stack", spec.qualified_stack_name]
        try:
            done = subprocess.run(
                argv,
                cwd=folder,
                env=engine_environment(
                    pulumi_home=Path(folder), backend_url=settings.PULUMI_BACKEND_URL, target=spec.target
                ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            # Its text holds the command's output, and that is the state.
            raise _unreadable(type(error).__name__) from None
    if done.returncode != 0:
        if "no stack named" in done.stderr:
            return None
        log.error(
            "export.failed", stack=spec.stack_name, exit_code=done.returncode, stderr=done.stderr[-500:]
        )
        raise _unreadable(f"the CLI ended with exit code {done.returncode}")
    deployment: dict[str, Any] | None = json.loads(done.stdout).get("deployment")
    return deployment if deployment and deployment.get("resources") else None


def _unreadable(why: str) -> OperatorError:
    return OperatorError(
        f"The stack's state could not be exported: {why}.",
        code="state_unavailable",
        hint="Check PULUMI_BACKEND_URL, its server and FREEHOLD_PULUMI; the web process's log has the CLI's words.",
    )
