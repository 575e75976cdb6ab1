"""One preview of an exported stack by the real CLI, in a folder that is thrown away."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pulumi import automation as auto

from contracts.export import StackExport, secrets_blinded
from contracts.plan_document import (
    assessment_representation,
    cost_representation,
    resources_representation,
)
from contracts.plan_rows import PlanRows
from contracts.planned import AssessmentJob
from contracts.stack import StackSpec
from stacks.assessment import plan_assess
from stacks.preview.blinding import program_blinded
from stacks.preview.offline import offline_state
from stacks.targets import target_program

_ROOT = Path(__file__).resolve().parents[2]
#: Of the environment: what the CLI and its plugins need to run and to find a network, and no login to anything.
_PASSED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "USER",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
)


def assessment_from(environment: Mapping[str, str], today: date) -> AssessmentJob:
    """An operator's rules and tables, by the names of the control plane's settings."""

    def files(name: str) -> list[str]:
        return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]

    return AssessmentJob(
        today=today,
        policy_files=files("FREEHOLD_POLICY_FILES"),
        policy_exceptions=files("FREEHOLD_POLICY_EXCEPTIONS"),
        price_tables=files("FREEHOLD_PRICE_TABLES"),
    )


def export_plan(
    export: StackExport, *, pulumi_root: Path, folder: Path, assessment: AssessmentJob
) -> dict[str, Any]:
    """The plan, as the API shows one. Raises StacksError, PolicyBroken or PricesBroken, and the Automation API's
    CommandError where the engine refuses."""
    command = auto.PulumiCommand(root=str(pulumi_root))
    spec = export.spec
    stack = auto.create_stack(
        stack_name=spec.qualified_stack_name,
        project_name=spec.project,
        program=program_blinded(target_program(spec, secrets_blinded(export))),
        opts=auto.LocalWorkspaceOptions(
            work_dir=str(_made(folder / "project")),
            env_vars=_environment(folder),
            pulumi_command=command,
            secrets_provider="passphrase",
            project_settings=auto.ProjectSettings(name=spec.project, runtime="python"),
        ),
    )
    if export.deployment is not None:
        _state_import(stack, spec, export.deployment, folder)
    rows = PlanRows()
    stack.preview(on_event=lambda event: _planned(event, rows), color="never", diff=True)
    judged = plan_assess(spec, list(rows.planned.values()), assessment).model_dump(mode="json")
    return {
        "tenant": spec.slug,
        "resources": resources_representation(rows.rows),
        "cost": cost_representation(judged),
        **assessment_representation(judged),
    }


def _planned(event: auto.EngineEvent, rows: PlanRows) -> None:
    if event.resource_pre_event is not None:
        rows.add(event.resource_pre_event.metadata)


def _state_import(stack: auto.Stack, spec: StackSpec, deployment: Mapping[str, Any], folder: Path) -> None:
    """The placeholders are plain: this backend's key takes them over."""
    salt = stack.workspace.stack_settings(spec.stack_name).encryption_salt
    state = {**deployment, "secrets_providers": {"type": "passphrase", "state": {"salt": salt}}}
    # What a killed run had begun is the control plane's to settle; here it would only stop the preview.
    state["pending_operations"] = []
    state["resources"] = [offline_state(each) for each in deployment.get("resources") or []]
    file = folder / "state.json"
    file.write_text(json.dumps({"version": 3, "deployment": state}), encoding="utf-8")
    argv = ["stack", "import", "--stack", spec.qualified_stack_name, "--file", str(file)]
    stack.workspace.pulumi_command.run(argv, str(folder / "project"), _environment(folder))


def _environment(folder: Path) -> dict[str, str]:
    passphrase = folder / "passphrase"
    if not passphrase.exists():
        # It guards placeholders only.
        passphrase.write_text("preview", encoding="utf-8")
    plugins = os.environ.get("PULUMI_HOME")
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        # The provider `pulumi-resource-local` of this checkout, before any other, with this checkout's code.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(_ROOT),
        "PULUMI_HOME": plugins or str(_made(folder / "home")),
        "PULUMI_BACKEND_URL": f"file://{_made(folder / 'state')}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
