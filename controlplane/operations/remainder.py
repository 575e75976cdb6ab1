"""What an apply that was stopped had changed, and what it had not: one sentence for the step that ended early."""

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.operations import states
from controlplane.operations.models import OperationEvent, Step

_CHANGES = ("create", "update", "replace", "delete")
_MOST_NAMES = 6


def step_remainder(step: Step) -> str:
    """Of a running step that ends now, before its work is done. Empty for steps that change nothing in the stack."""
    if step.name == states.STEP_PLAN:
        return "Nothing was changed."
    if step.name != states.STEP_APPLY or step.started_at is None:
        return ""
    events = OperationEvent.objects.filter(
        operation_id=step.operation_id, type="resource", at__gte=step.started_at
    ).order_by("id")
    return remainder_sentence(step.operation.plan or [], events.values_list("data", flat=True))


def remainder_sentence(plan: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> str:
    """From the planned changes and the apply's events, oldest first. A change that began and did not report its end
    is in doubt: the next run asks the provider what exists."""
    planned = {
        str(change["urn"]): str(change["name"])
        for change in plan
        # The engine's own entries (the stack, its providers) are nothing that a tenant has.
        if change.get("op") in _CHANGES and not str(change.get("type", "")).startswith("pulumi:")
    }
    state: dict[str, str] = {}
    for event in events:
        if event.get("phase") != "preview" and event.get("urn") in planned:
            state[str(event["urn"])] = str(event.get("state"))
    if not planned:
        return ""
    made = sum(1 for each in state.values() if each == "done")
    doubtful = [planned[urn] for urn, each in state.items() if each == "started"]
    left = [name for urn, name in planned.items() if state.get(urn) in (None, "failed")]
    parts = [f"{made} of {len(planned)} changes were made."]
    if doubtful:
        parts.append(f"Begun, end not reported: {_names(doubtful)}.")
    if left:
        parts.append(f"Not made: {_names(left)}.")
    return " ".join(parts)


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
