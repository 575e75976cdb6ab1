"""Between what a program asked for and what the apiserver holds: outputs, drift, and what a preview may promise."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN

from stacks.providers.local.values import Properties, properties
from tests.support.providers.kubernetes.differences import Path, same

Object = dict[str, Any]

#: What a dry run makes up: the real object will have others.
_MADE_UP_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation")
_MADE_UP_SPEC = ("clusterIP", "clusterIPs", "healthCheckNodePort", "volumeName")
#: By which the items of a list are recognised after something else has added to it.
_ITEM_KEYS = ("name", "containerPort", "port", "mountPath", "key", "type", "ip")


def outputs(live: Object, inputs: Properties) -> Properties:
    """The live object as property values; what came in as a secret goes out as one, and a Secret's data always."""
    shown = {name: value for name, value in live.items() if name != "metadata"}
    shown["metadata"] = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    hidden = ("data", "stringData") if live.get("kind") == "Secret" else ()
    values = properties(shown, hidden)
    return {name: _hide(value, inputs.get(name)) for name, value in values.items()}


def secrets_kept(values: Object, inputs: Properties) -> Properties:
    """Plain values with the secret marks of the inputs they were read from."""
    return {name: _hide(value, inputs.get(name)) for name, value in properties(values).items()}


def foretold(answer: Object, inputs: Object, old: Object | None) -> Object:
    """What a dry run answered, with what only the real object can tell replaced by the old value or left unknown."""
    told = {**answer, "metadata": dict(answer["metadata"]), "spec": dict(answer.get("spec") or {})}
    if not answer.get("spec"):
        del told["spec"]
    before = old or {}
    for name in _MADE_UP_METADATA:
        kept = before.get("metadata", {}).get(name) if name in ("uid", "creationTimestamp") else None
        told["metadata"][name] = kept or UNKNOWN
    for name in _MADE_UP_SPEC:
        if name in told.get("spec", {}) and name not in (inputs.get("spec") or {}):
            told["spec"][name] = before.get("spec", {}).get(name, UNKNOWN)
    if old is None or "status" in before or "status" in told:
        told["status"] = UNKNOWN
    return told


def drifted(inputs: Object, live: Object) -> Object:
    """The inputs with the values that the live object has for the properties they name, so that drift shows.

    A value that only is written differently keeps the program's spelling.
    """
    found = _project(inputs, live, ())
    assert isinstance(found, dict)
    if inputs.get("kind") == "Secret" and "stringData" in inputs:
        found["stringData"] = _clear_text(inputs["stringData"], live.get("data") or {})
    return found


def without_volatile(live: Object) -> Object:
    """The live object as inputs, when it is imported and nobody gave any."""
    kept = {name: value for name, value in live.items() if name not in ("status", "metadata")}
    shown = ("name", "namespace", "labels", "annotations")
    return {**kept, "metadata": {name: live["metadata"][name] for name in shown if name in live["metadata"]}}


def _project(wanted: Any, live: Any, path: Path) -> Any:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        found = {}
        for name, value in wanted.items():
            if name in live:
                found[name] = _project(value, live[name], (*path, name))
            elif _is_empty(value):
                found[name] = value
        return found
    if isinstance(wanted, list) and isinstance(live, list):
        return _project_list(wanted, live, path)
    return wanted if same(path, wanted, live) else live


def _project_list(wanted: list[Any], live: list[Any], path: Path) -> list[Any]:
    if len(wanted) == len(live):
        return [_project(each, live[position], (*path, position)) for position, each in enumerate(wanted)]
    found = []
    for position, item in enumerate(live):
        like = next((each for each in wanted if _is_same_item(each, item)), item)
        found.append(_project(like, item, (*path, position)))
    return found


def _is_same_item(wanted: Any, live: Any) -> bool:
    if not isinstance(wanted, Mapping) or not isinstance(live, Mapping):
        return bool(wanted == live)
    for key in _ITEM_KEYS:
        if key in wanted:
            return bool(wanted[key] == live.get(key))
    return False


def _is_empty(value: Any) -> bool:
    """The apiserver leaves out what is empty, so that its absence means nothing."""
    if isinstance(value, Mapping):
        return all(_is_empty(each) for each in value.values())
    return value in ("", False, 0) or value == []


def _clear_text(wanted: Mapping[str, str], data: Mapping[str, str]) -> dict[str, str]:
    """The apiserver stores `stringData` as base64 in `data`."""
    held = {name: base64.b64decode(value).decode(errors="replace") for name, value in data.items()}
    return {name: held[name] for name in wanted if name in held}


def _hide(value: PropertyValue, like: PropertyValue | None) -> PropertyValue:
    if like is None or not like.contains_secret():
        return value
    if like.is_secret:
        return value.with_secret(True)
    inner, pattern = value.value, like.value
    if isinstance(inner, Mapping) and isinstance(pattern, Mapping):
        return PropertyValue({name: _hide(each, pattern.get(name)) for name, each in inner.items()})
    if isinstance(inner, Sequence) and isinstance(pattern, Sequence) and not isinstance(inner, str):
        if len(inner) != len(pattern):
            return value.with_secret(True)
        return PropertyValue([_hide(each, pattern[position]) for position, each in enumerate(inner)])
    return value.with_secret(True)
