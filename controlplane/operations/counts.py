"""What happened within a step, in numbers, from the events it left."""

from collections import Counter
from datetime import datetime
from typing import Any

from controlplane.operations.models import OperationEvent, Step

_UNCHANGED = ("read", "refresh")


def step_counts(step: Step, *, until: datetime) -> dict[str, dict[str, int]]:
    """{resources: {op: n, failed?: n}, diagnostics: {severity: n}} of a step that began. Resources count when they
    were planned or done; `read` and `refresh` change nothing and are left out."""
    resources: Counter[str] = Counter()
    diagnostics: Counter[str] = Counter()
    if step.started_at is not None:
        # A later attempt begins its steps anew: what an earlier one left lies before their start.
        events = OperationEvent.objects.filter(
            operation_id=step.operation_id,
            type__in=("resource", "diagnostic"),
            at__gte=step.started_at,
            at__lte=until,
        )
        for kind, data in events.values_list("type", "data"):
            _count(kind, data, resources, diagnostics)
    return {"resources": dict(resources), "diagnostics": dict(diagnostics)}


def _count(kind: str, data: dict[str, Any], resources: Counter[str], diagnostics: Counter[str]) -> None:
    if kind == "diagnostic":
        diagnostics[str(data.get("severity", "info"))] += 1
    elif data.get("state") == "failed":
        resources["failed"] += 1
    elif data.get("state") in ("planned", "done") and data.get("op") not in _UNCHANGED:
        resources[str(data["op"])] += 1
