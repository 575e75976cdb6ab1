"""What the runner is told to do: the job on its stdin, and the whole environment of the engine."""

import os
import sys
from pathlib import Path
from typing import Final
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

#: By which AWS's own libraries find credentials, a region and an endpoint.
AWS_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SDK_LOAD_CONFIG",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
#: What the engine is told for a target. The provider `local` is installed with Freehold, so a missing one is a fault;
#: the official plugins of clouds are downloaded by the CLI, once, into the shared folder (process.py).
_ENGINE_OF: Final[dict[str, dict[str, str]]] = {
    "local": {"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"},
    # The cluster is part of the stack: once it is gone, so is all that was in it.
    "aws": {"PULUMI_K8S_DELETE_UNREACHABLE": "true"},
}


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
        env=engine_environment(pulumi_home=folder / "home", backend_url=backend_url, target=spec.target),
        preview_first=states.STEP_PLAN in states.STEPS_OF_KIND[operation.kind],
        refresh=operation.kind in states.REFRESHING,
        assessment=assessment_job(),
        secrets_provider=settings.PULUMI_SECRETS_PROVIDER,
        clear_lock=bool(stack and stack.lock_suspect),
        settle_pending=bool(stack and stack.lock_suspect),
        remove_stack=operation.kind == states.DEPROVISION,
        data=data,
    )


def assessment_job() -> AssessmentJob:
    """By what every plan is judged today."""
    return AssessmentJob(
        today=clock.now().date(),
        policy_files=list(map(str, settings.FREEHOLD_POLICY_FILES)),
        policy_exceptions=list(map(str, settings.FREEHOLD_POLICY_EXCEPTIONS)),
        price_tables=list(map(str, settings.FREEHOLD_PRICE_TABLES)),
    )


def engine_environment(*, pulumi_home: Path, backend_url: str, target: str) -> dict[str, str]:
    """The whole environment of runner, CLI and plugins: what they need for this target, and nothing else of the
    control plane's."""
    names = ("HOME", "LANG", "LC_ALL", "TMPDIR", "USER", crashpoints.VARIABLE, *_variables_of(target))
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        **_ENGINE_OF.get(target, {}),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": backend_url,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(settings.PULUMI_PASSPHRASE_FILE),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The salt lives in the state: work folders are thrown away after each run.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PYTHONUNBUFFERED": "1",
    }


def _variables_of(target: str) -> tuple[str, ...]:
    """The worker's variables by which a target's plugins, and the kubeconfig's login command, sign in."""
    if target == "aws":
        return AWS_VARIABLES
    kubernetes = settings.FREEHOLD_TARGETS_FILE.kubernetes
    return tuple(kubernetes.environment) if target == "kubernetes" and kubernetes else ()
