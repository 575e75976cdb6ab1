"""When an object counts as ready, as the official plugin sees it: what is still missing, per kind."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.support.providers.kubernetes.api import Api

Object = dict[str, Any]
#: What is missing, in words; None when the object is ready.
Gap = Callable[[Object, Api], str | None]

SKIP_AWAIT = "pulumi.com/skipAwait"


class WillNotBeReady(Exception):
    """Waiting longer is of no use."""


def gap(live: Object, api: Api) -> str | None:
    """What the object lacks to be ready; None at once for kinds that are ready when they exist."""
    skipped = (live["metadata"].get("annotations") or {}).get(SKIP_AWAIT)
    ask = GAPS.get(live["kind"])
    return None if ask is None or skipped in ("true", "ready") else ask(live, api)


def _deployment(live: Object, api: Api) -> str | None:
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    if unseen := _unseen(live):
        return unseen
    for condition in status.get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition["message"])
    return _short(status, wanted, "updatedReplicas", "replicas have the new template") or (
        "old replicas are still there"
        if status.get("replicas", 0) > status.get("updatedReplicas", 0)
        else _short(status, wanted, "availableReplicas", "replicas are available")
    )


def _stateful_set(live: Object, api: Api) -> str | None:
    status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
    if unseen := _unseen(live):
        return unseen
    on_delete = live["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    if not on_delete and status.get("currentRevision") != status.get("updateRevision"):
        return (
            _short(status, wanted, "updatedReplicas", "replicas have the new template") or "it is rolling out"
        )
    return _short(status, wanted, "readyReplicas", "replicas are ready")


def _daemon_set(live: Object, api: Api) -> str | None:
    status = live.get("status", {})
    wanted = status.get("desiredNumberScheduled", 0)
    return (
        _unseen(live)
        or _short(status, wanted, "updatedNumberScheduled", "pods have the new template")
        or _short(status, wanted, "numberAvailable", "pods are available")
    )


def _job(live: Object, api: Api) -> str | None:
    if live["spec"].get("suspend"):
        return None
    for condition in live.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] == "Failed":
            raise WillNotBeReady(f"the job failed: {condition.get('message') or condition.get('reason')}")
        if condition["status"] == "True" and condition["type"] == "Complete":
            return None
    return "it is not complete"


def _claim(live: Object, api: Api) -> str | None:
    phase = live.get("status", {}).get("phase")
    if phase == "Bound":
        return None
    name = live["spec"].get("storageClassName")
    classes = {each["metadata"]["name"]: each for each in api.items("/apis/storage.k8s.io/v1/storageclasses")}
    if classes.get(name, {}).get("volumeBindingMode") == "WaitForFirstConsumer":
        return None
    return f"it is {phase}, not Bound" + ("" if name in classes else f"; there is no storage class {name}")


def _service(live: Object, api: Api) -> str | None:
    """A headless one, one for a name outside, and one without a selector need no pods."""
    spec = live["spec"]
    if spec.get("clusterIP") == "None" or spec.get("type") == "ExternalName" or not spec.get("selector"):
        return None
    namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    slices = api.items(path, labelSelector=f"kubernetes.io/service-name={name}")
    endpoints = [endpoint for each in slices for endpoint in each.get("endpoints") or []]
    if any(endpoint["conditions"].get("ready") for endpoint in endpoints):
        return None
    return "its selector matches no ready pod"


def _pod(live: Object, api: Api) -> str | None:
    status = live.get("status", {})
    if status.get("phase") == "Succeeded":
        return None
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
    return None if ready else f"it is {status.get('phase')}, not Ready"


def _namespace(live: Object, api: Api) -> str | None:
    phase = live.get("status", {}).get("phase")
    return None if phase == "Active" else f"it is {phase}, not Active"


def _quota(live: Object, api: Api) -> str | None:
    settled = live["spec"].get("hard", {}) == live.get("status", {}).get("hard", {})
    return None if settled else "its limits are not in force yet"


GAPS: Mapping[str, Gap] = {
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ResourceQuota": _quota,
    "Service": _service,
    "StatefulSet": _stateful_set,
}


def _unseen(live: Object) -> str | None:
    seen = live.get("status", {}).get("observedGeneration", 0)
    return None if seen >= live["metadata"]["generation"] else "its controller has not seen the change yet"


def _short(status: Object, wanted: int, field: str, what: str) -> str | None:
    there = status.get(field, 0)
    return None if there >= wanted else f"{there} of {wanted} {what}"
