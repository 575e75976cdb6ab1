"""What a plan was computed from, seen by the runner: program source, exported state, versions. No Django."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pulumi import automation as auto

from contracts.engine import PlanFacts, RunnerJob

_ROOT = Path(__file__).resolve().parent.parent.parent
#: What decides which resources a program wants, and how the provider treats them.
_PROGRAM_ROOMS = ("contracts", "stacks")


def facts_of(job: RunnerJob, stack: auto.Stack) -> PlanFacts:
    return PlanFacts(
        program_hash=program_hash(_ROOT),
        state_hash=state_hash(job, stack),
        cli_version=str(stack.workspace.pulumi_version),
        sdk_version=version("pulumi"),
    )


def facts_of_data(manifest_sha256: str) -> PlanFacts:
    """What a restore was planned from: the programs, and the one snapshot that its manifest's hash names."""
    return PlanFacts(
        program_hash=program_hash(_ROOT), state_hash=manifest_sha256, cli_version="", sdk_version=""
    )


def program_hash(root: Path) -> str:
    """SHA-256 over paths and contents of the programs' source."""
    digest = hashlib.sha256()
    for room in _PROGRAM_ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def state_export(job: RunnerJob, stack: auto.Stack) -> dict[str, Any]:
    """The state as `pulumi stack export` gives it, secrets as ciphertext (Stack.export_state asks for plaintext)."""
    argv = ["stack", "export", "--stack", job.spec.qualified_stack_name]
    result = stack.workspace.pulumi_command.run(argv, job.work_dir, dict(job.env))
    exported: dict[str, Any] = json.loads(result.stdout)
    return exported


def state_hash(job: RunnerJob, stack: auto.Stack) -> str:
    """SHA-256 over resources and pending operations as exported, secrets as ciphertext; "" without a state."""
    deployment = state_export(job, stack).get("deployment") or {}
    resources, pending = deployment.get("resources") or [], deployment.get("pending_operations") or []
    if not resources and not pending:
        return ""
    return hashlib.sha256(json.dumps([resources, pending], sort_keys=True).encode()).hexdigest()
