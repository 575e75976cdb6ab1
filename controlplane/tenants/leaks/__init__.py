"""The leak scan: what of a tenant still exists on its target after its stack was destroyed, or suspended.

The scan looks at the target itself, not at Pulumi's state: a state that forgot a resource is what it is for. A look
that failed leaves the scan undecided (Scan.failures).
"""

from collections.abc import Callable

from contracts.stack import StackSpec
from controlplane.tenants.leaks.local import local_left, local_restless
from controlplane.tenants.leaks.model import Kept, Leak, Scan

__all__ = ["Kept", "Leak", "Scan", "leaks_find", "restless_find"]


def leaks_find(spec: StackSpec, *, alive: Callable[[], None]) -> Scan:
    """Everything that bears the tenant's mark. Calls `alive` every few seconds while it waits."""
    if spec.local is not None:
        return local_left(spec.slug, spec.local)
    # A cloud's libraries take a second to import; most installations have no cloud.
    if spec.kubernetes is not None:
        from controlplane.tenants.leaks.kubernetes import kubernetes_left

        return kubernetes_left(spec.slug, spec.kubernetes, alive=alive)
    if spec.aws is not None:
        from controlplane.tenants.leaks.aws import aws_left

        return aws_left(spec.slug, spec.region, spec.aws, alive=alive)
    return _nowhere(spec)


def restless_find(spec: StackSpec, *, alive: Callable[[], None]) -> Scan:
    """What a suspended tenant must not have: a runtime that runs, a GPU."""
    if spec.local is not None:
        return local_restless(spec.slug, spec.local)
    if spec.kubernetes is not None:
        from controlplane.tenants.leaks.kubernetes import kubernetes_restless

        return kubernetes_restless(spec.slug, spec.kubernetes, alive=alive)
    if spec.aws is not None:
        from controlplane.tenants.leaks.aws import aws_restless

        return aws_restless(spec.slug, spec.region, spec.aws, alive=alive)
    return _nowhere(spec)


def _nowhere(spec: StackSpec) -> Scan:
    return Scan(failures=[f"the specification does not say where {spec.slug} lives"])
