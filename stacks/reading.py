"""Reading planned inputs, of which any may be unknown until the apply."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.planned import UNKNOWN


def is_unknown(value: Any) -> bool:
    return isinstance(value, str) and value == UNKNOWN


def at(inputs: Any, *path: str) -> Any:
    """The value below the keys; None when a part is missing, and the unknown value when a part is unknown."""
    here = inputs
    for key in path:
        if is_unknown(here):
            return UNKNOWN
        if not isinstance(here, Mapping):
            return None
        here = here.get(key)
    return here


def many(value: Any) -> list[Any]:
    """A list of what may be missing, single or unknown; an unknown list is a list of one unknown."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def pod_spec(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod's spec of any workload (Pod, Deployment, StatefulSet, DaemonSet, Job, CronJob); empty for others."""
    for path in (
        ("spec", "template", "spec"),
        ("spec", "jobTemplate", "spec", "template", "spec"),
        ("spec",),
    ):
        found = at(inputs, *path)
        if isinstance(found, Mapping) and "containers" in found:
            return found
    return {}


def containers(inputs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every container of a workload, those that run first and those that run once included."""
    spec = pod_spec(inputs)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from (each for each in many(spec.get(kind)) if isinstance(each, Mapping))


def statements(document: Any) -> list[Mapping[str, Any]] | None:
    """The statements of an IAM policy document, as text or parsed; None when it is unknown or no policy."""
    if is_unknown(document):
        return None
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return None
    if not isinstance(document, Mapping):
        return None
    return [each for each in many(document.get("Statement")) if isinstance(each, Mapping)]
