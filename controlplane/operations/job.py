"""What the runner is told to do: the job on its stdin, and the whole environment of the engine."""

import os
import sys
from pathlib import Path
from uuid import UUID

from django.conf import settings

from contracts.engine import RunnerJob
from contracts.planned import AssessmentJob
from contracts.snapshot import DataJob
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.fence import fence_raise
from controlplane.operations.models import Operation, Stack
from controlplane.operations.process import work_dir_prepare
from controlplane.operations.subject import operation_subject
from embedded import crashpoints


def runner_job(
    *, operation: Operation, lease_token: UUID, spec: StackSpec, data: DataJob | None
) -> RunnerJob:
    """The job of one lease: makes its work folder and its role in the state database. OperatorError when the state
    database does not answer."""
    folder = work_dir_prepare(operation.id, lease_token)
    backend_url = fence_raise(operation_id=operation.id, lease_token=lease_token)
    stack = Stack.objects.filter(tenant_id=operation.tenant_id).first()
    return RunnerJob(
        operation_id=operation.id,
        action=states.ACTION_OF_KIND[operation.kind],
        spec=spec,
        secrets=operation_subject().secrets(operation=operation),
        pulumi_root=str(settings.FREEHOLD_PULUMI),
        work_dir=str(folder / "project"),
        env=engine_environment(pulumi_home=folder / "home", backend_url=backend_url),
        preview_first=states.STEP_PLAN in states.STEPS_OF_KIND[operation.kind],
        refresh=operation.kind in states.REFRESHING,
        assessment=AssessmentJob(
            today=clock.now().date(),
            policy_files=list(map(str, settings.FREEHOLD_POLICY_FILES)),
            policy_exceptions=list(map(str, settings.FREEHOLD_POLICY_EXCEPTIONS)),
            price_tables=list(map(str, settings.FREEHOLD_PRICE_TABLES)),
        ),
        secrets_provider=settings.PULUMI_SECRETS_PROVIDER,
        clear_lock=bool(stack and stack.lock_suspect),
        settle_pending=bool(stack and stack.lock_suspect),
        remove_stack=operation.kind == states.DEPROVISION,
        data=data,
    )


def engine_environment(*, pulumi_home: Path, backend_url: str) -> dict[str, str]:
    """The whole environment of runner, CLI and plugins: what they need, and nothing of the control plane's."""
    passed = {
        name: os.environ[name]
        for name in ("HOME", "LANG", "LC_ALL", "TMPDIR", "USER", crashpoints.VARIABLE)
        if name in os.environ
    }
    return {
        **passed,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": backend_url,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(settings.PULUMI_PASSPHRASE_FILE),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The salt lives in the state: work folders are thrown away after each run.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PYTHONUNBUFFERED": "1",
    }
