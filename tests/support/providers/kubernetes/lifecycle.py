"""Waiting for an object: until it is ready, and until it is gone."""

import time
from typing import Any

from stacks.providers.local.values import Properties, plain
from tests.support.providers.kubernetes.api import Api
from tests.support.providers.kubernetes.kinds import Kind
from tests.support.providers.kubernetes.live import outputs
from tests.support.providers.kubernetes.readiness import WillNotBeReady, gap
from tests.support.providers.kubernetes.reasons import reasons
from tests.support.providers.serving import NotReady, Refused

Object = dict[str, Any]

_POLL_S = 0.1


def identity_of(wanted: Object) -> str:
    """The resource's id, as the official plugin writes it: `namespace/name`, or the name alone."""
    namespace, name = namespace_of(wanted), wanted["metadata"]["name"]
    return f"{namespace}/{name}" if namespace else str(name)


def namespace_of(wanted: Object) -> str | None:
    namespace = wanted["metadata"].get("namespace")
    return str(namespace) if namespace else None


def ready(api: Api, kind: Kind, inputs: Properties, timeout_s: float) -> Object:
    """The live object when it is ready; NotReady with the reason when it is not in time, or will never be."""
    wanted = plain(inputs)
    deadline = time.monotonic() + timeout_s
    while True:
        live = api.get(kind, namespace_of(wanted), wanted["metadata"]["name"])
        if live is None:
            raise Refused(f"{kind.kind} {identity_of(wanted)} was deleted by somebody while it was awaited")
        try:
            missing = gap(live, api)
        except WillNotBeReady as error:
            raise _not_ready(api, kind, live, inputs, str(error)) from error
        if missing is None:
            return live
        if time.monotonic() > deadline:
            raise _not_ready(api, kind, live, inputs, f"not ready after {timeout_s:.0f} s: {missing}")
        time.sleep(_POLL_S)


def delete(api: Api, kind: Kind, namespace: str | None, name: str, timeout_s: float) -> None:
    """Returns when the object is gone, or another one has its name."""
    deadline = time.monotonic() + timeout_s
    found = api.get(kind, namespace, name)
    if found is None:
        return
    api.delete(kind, namespace, name)
    while (live := api.get(kind, namespace, name)) is not None:
        if live["metadata"]["uid"] != found["metadata"]["uid"]:
            return
        if time.monotonic() > deadline:
            held = ", ".join(live["metadata"].get("finalizers") or []) or "nothing that it names"
            why = "; ".join(each.get("message", "") for each in live.get("status", {}).get("conditions", []))
            raise Refused(
                f"{kind.kind} {name} is still there {timeout_s:.0f} s after its deletion, held by {held}. {why}"
            )
        time.sleep(_POLL_S)


def _not_ready(api: Api, kind: Kind, live: Object, inputs: Properties, text: str) -> NotReady:
    told = "; ".join([f"{kind.kind} {live['metadata']['name']} is there, but {text}", *reasons(live, api)])
    return NotReady(told, resource_id=identity_of(live), properties=outputs(live, inputs))
