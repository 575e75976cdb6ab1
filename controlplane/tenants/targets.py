"""Where tenants can live: every target that this installation offers, with its regions; the first is the usual one.

Which they are is FREEHOLD_TARGETS; where a cluster or an account is, the targets file says (targets_file.py).
"""

from dataclasses import dataclass
from typing import Final, get_args

from django.conf import settings

from contracts.stack import VectorStoreKind
from controlplane.core.errors import Conflict, OperatorError
from controlplane.tenants.targets_file import AwsTarget, KubernetesTarget, TargetsFile

LOCAL: Final = "local"
KUBERNETES: Final = "kubernetes"
AWS: Final = "aws"

_EVERY_STORE: Final[tuple[str, ...]] = get_args(VectorStoreKind)


@dataclass(frozen=True)
class Target:
    name: str
    description: str
    regions: tuple[str, ...]


#: The vector stores that a target can run.
VECTOR_STORES: Final[dict[str, tuple[str, ...]]] = {
    LOCAL: ("pgvector",),
    KUBERNETES: _EVERY_STORE,
    AWS: _EVERY_STORE,
}
#: Targets whose data Freehold can take snapshots of and restore (stacks/snapshots).
WITH_SNAPSHOTS: Final = frozenset({LOCAL})


def targets_offered() -> dict[str, Target]:
    """In the order of FREEHOLD_TARGETS; a name that no target has is left out."""
    file: TargetsFile = settings.FREEHOLD_TARGETS_FILE
    known = {
        LOCAL: Target(
            "This machine", "Postgres, Redis, vector store and runtime as processes of their own.", ("local",)
        )
    }
    if file.kubernetes is not None:
        known[KUBERNETES] = Target(
            "Kubernetes cluster", "A namespace and GPU nodes of its own.", (file.kubernetes.region,)
        )
    if file.aws is not None:
        known[AWS] = Target(
            "AWS", "A network, an EKS cluster, RDS and ElastiCache of its own.", tuple(file.aws.regions)
        )
    return {name: known[name] for name in settings.FREEHOLD_TARGETS if name in known}


def region_default(target: str) -> str:
    """The usual region of a target; empty for one that is not offered."""
    offered = targets_offered()
    return offered[target].regions[0] if target in offered else ""


def snapshots_demand(target: str, what: str) -> None:
    """Raises Conflict (`not_supported_on_target`) where Freehold can take no snapshots."""
    if target not in WITH_SNAPSHOTS:
        raise Conflict(
            f"{what} is not supported on the target {target}.",
            code="not_supported_on_target",
            hint="Use the backups of its databases: docs/guides/cloud-targets.md says which there are.",
            extra={"target": target},
        )


def kubernetes_target() -> KubernetesTarget:
    """Raises OperatorError when the targets file does not describe it any more."""
    file: TargetsFile = settings.FREEHOLD_TARGETS_FILE
    if file.kubernetes is None:
        raise _undescribed("[kubernetes]")
    return file.kubernetes


def aws_target() -> AwsTarget:
    """Raises OperatorError when the targets file does not describe it any more."""
    file: TargetsFile = settings.FREEHOLD_TARGETS_FILE
    if file.aws is None:
        raise _undescribed("[aws]")
    return file.aws


def _undescribed(section: str) -> OperatorError:
    return OperatorError(
        f"The targets file has no section {section}, but tenants live there.",
        code="target_not_described",
        hint="Put it back into the file that FREEHOLD_TARGETS_FILE names, and restart.",
    )
