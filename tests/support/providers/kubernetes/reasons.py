"""Why an object does not become ready: what its pods, their containers and the cluster's events say."""

from typing import Any

from tests.support.providers.kubernetes.api import Api

Object = dict[str, Any]

_MOST = 3


def reasons(live: Object, api: Api) -> list[str]:
    """The most telling first, each once; empty when nothing tells."""
    namespace = live["metadata"].get("namespace")
    if namespace is None:
        return []
    found = [why for pod in _pods(live, api, namespace) for why in _pod_reasons(pod)]
    found += _warnings(live, api, namespace)
    return list(dict.fromkeys(found))[:_MOST]


def _pods(live: Object, api: Api, namespace: str) -> list[Object]:
    if live["kind"] == "Pod":
        return [live]
    spec = live.get("spec", {})
    selector = spec.get("selector", {}) if live["kind"] != "PersistentVolumeClaim" else {}
    labels = selector if live["kind"] == "Service" else selector.get("matchLabels", {})
    if not labels:
        return []
    chosen = ",".join(f"{name}={value}" for name, value in labels.items())
    return api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=chosen)


def _pod_reasons(pod: Object) -> list[str]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    found = []
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            found.append(f"pod {name} is {condition.get('reason')}: {condition.get('message')}")
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        state = container.get("state", {})
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting:
            text = f": {waiting['message']}" if waiting.get("message") else ""
            found.append(f"container {container['name']} of pod {name} waits: {waiting.get('reason')}{text}")
        if ended and ended.get("exitCode"):
            found.append(f"container {container['name']} of pod {name} ended with {ended['exitCode']}")
    return found


def _warnings(live: Object, api: Api, namespace: str) -> list[str]:
    """Of the object itself and of the replica sets made for it."""
    events = api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")
    name = live["metadata"]["name"]
    found = []
    for event in sorted(events, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime"))):
        about = event["involvedObject"]
        own = about.get("kind") == live["kind"] and about.get("name") == name
        made = live["kind"] == "Deployment" and about.get("kind") == "ReplicaSet"
        if own or (made and str(about.get("name")).startswith(f"{name}-")):
            found.append(f"{event.get('reason')}: {event.get('message')}")
    return found[::-1]
