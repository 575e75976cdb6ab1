"""Pods as PodSecurity `restricted` lets them run, with what they may use stated."""

from collections.abc import Mapping
from typing import Any

from stacks.components.cluster.site import USER_ID, ClusterSite, Manifest

VERSION_LABEL = "app.kubernetes.io/version"
#: A pod's security: no root, no capability, the runtime's own system call filter.
POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "fsGroup": USER_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def resources(*, cpu: str, memory_mb: int, extra: Mapping[str, str] | None = None) -> Manifest:
    """Requests equal to limits for memory, so that no neighbour's burst ends the pod; the processor may burst."""
    held = {"memory": f"{memory_mb}Mi", **(extra or {})}
    return {"requests": {"cpu": cpu, **held}, "limits": {"cpu": doubled(cpu), **held}}


def doubled(cpu: str) -> str:
    """Twice a quantity of processor (`500m` or `2`), in thousandths."""
    thousandths = int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000
    return f"{2 * thousandths}m"


def pod_template(
    site: ClusterSite, part: str, spec: Mapping[str, Any], *, version: str | None = None
) -> Manifest:
    """The pod of a workload: no token of the API server, hardened, started anew with new passwords."""
    said = {VERSION_LABEL: version} if version else {}
    return {
        "metadata": {"labels": {**site.labels(part), **said}, "annotations": site.rollout_annotations},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": POD_SECURITY,
            **spec,
        },
    }


def secret_volume(name: str, secret: str) -> Manifest:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}


def scratch(name: str = "tmp", *, memory: bool = False, size: str = "256Mi") -> Manifest:
    return {"name": name, "emptyDir": {"sizeLimit": size, **({"medium": "Memory"} if memory else {})}}


def claim(site: ClusterSite, name: str, part: str, *, gigabytes: int) -> Manifest:
    """A volumeClaimTemplate. Its labels are the part's selector alone: a StatefulSet cannot change them later."""
    return {
        "metadata": {"name": name, "labels": site.selector(part)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": site.settings.storage_class,
            "resources": {"requests": {"storage": f"{gigabytes}Gi"}},
        },
    }


#: Volumes go with their StatefulSet when the tenant goes, and stay when it is scaled to nothing by a suspension.
CLAIM_RETENTION: Manifest = {"whenDeleted": "Delete", "whenScaled": "Retain"}
