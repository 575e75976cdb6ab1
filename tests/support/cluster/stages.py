"""What the played kubelets do, as kwok's Stage objects: nodes are ready, pods run, jobs' pods complete, pods go.

A pod with the annotation `tests.freehold.dev/waiting: <reason>` never becomes ready: its containers wait for that
reason, as a kubelet says that an image cannot be pulled.
"""

from typing import Any

import yaml

WAITING = "tests.freehold.dev/waiting"

_ALIVE = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
_UNTOUCHED = {"key": ".status.podIP", "operator": "DoesNotExist"}
_BOUND = {"key": ".spec.nodeName", "operator": "Exists"}
_WAITING = f'.metadata.annotations["{WAITING}"]'

_NODE = """
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
addresses:
- type: InternalIP
  address: {{ NodeIP | Quote }}
- type: Hostname
  address: {{ .metadata.name | Quote }}
"""

_ADDRESSES = """
startTime: {{ Now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name
 .metadata.namespace | Quote }}
"""


def _conditions(ready: bool, *more: str) -> str:
    lines = ["conditions:"]
    for name, holds in (("Initialized", True), ("ContainersReady", ready), ("Ready", ready)):
        lines += [f"- type: {name}", f'  status: "{holds}"', "  lastTransitionTime: {{ Now | Quote }}"]
    return "\n".join([*lines, *more, ""])


def _containers(section: str, statuses: str, state: str, ready: bool) -> str:
    return f"""
{statuses}:
{{{{ range .spec.{section} }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
  imageID: {{{{ .image | Quote }}}}
  ready: {str(ready).lower()}
  started: {str(ready).lower()}
  restartCount: 0
  state: {state}
{{{{ end }}}}
"""


_RUNNING = '{running: {startedAt: "{{ Now }}"}}'
_DONE = '{terminated: {exitCode: 0, reason: Completed, startedAt: "{{ Now }}", finishedAt: "{{ Now }}"}}'
# A sidecar is an init container that always restarts: it runs beside the others.
_INIT = f'{{{{ if eq (or .restartPolicy "") "Always" }}}}{_RUNNING}{{{{ else }}}}{_DONE}{{{{ end }}}}'
_INITIALIZED = _containers("initContainers", "initContainerStatuses", _INIT, True)
_READINESS_GATES = """{{ range .spec.readinessGates }}
- type: {{ .conditionType | Quote }}
  status: "True"
  lastTransitionTime: {{ Now | Quote }}
{{ end }}"""


def stages() -> str:
    """The contents of kwok's configuration file."""
    waits = f'{{waiting: {{reason: {{{{ index $.metadata.annotations "{WAITING}" | Quote }}}}}}}}'
    never_waits = {"key": _WAITING, "operator": "DoesNotExist"}
    documents = [
        _stage("node-ready", "Node", [_not_ready()], _NODE),
        _stage(
            "pod-run",
            "Pod",
            [_ALIVE, _UNTOUCHED, _BOUND, never_waits],
            "phase: Running\n"
            + _conditions(True, _READINESS_GATES)
            + _containers("containers", "containerStatuses", _RUNNING, True)
            + _INITIALIZED
            + _ADDRESSES,
        ),
        _stage(
            "pod-wait",
            "Pod",
            [_ALIVE, _UNTOUCHED, _BOUND, {"key": _WAITING, "operator": "Exists"}],
            "phase: Pending\n"
            + _conditions(False)
            + _containers("containers", "containerStatuses", waits, False)
            + _ADDRESSES,
        ),
        _stage(
            "job-pod-complete",
            "Pod",
            [_ALIVE, _owned_by_job(), {"key": ".status.phase", "operator": "In", "values": ["Running"]}],
            "phase: Succeeded\n"
            + _conditions(False)
            + _containers("containers", "containerStatuses", _DONE, False),
        ),
        _stage("pod-go", "Pod", [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}, _BOUND], None),
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def _stage(name: str, kind: str, matches: list[dict[str, Any]], status: str | None) -> dict[str, Any]:
    """Without a status the object is let go: its finalizers are emptied and it is deleted."""
    following = (
        {"finalizers": {"empty": True}, "delete": True} if status is None else {"statusTemplate": status}
    )
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": matches},
            "next": following,
        },
    }


def _not_ready() -> dict[str, Any]:
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    return {"key": ready, "operator": "NotIn", "values": ["True"]}


def _owned_by_job() -> dict[str, Any]:
    return {"key": ".metadata.ownerReferences.[].kind", "operator": "In", "values": ["Job"]}
