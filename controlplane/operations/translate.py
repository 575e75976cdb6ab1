"""Pure translation of the Pulumi engine's events into ours. Imported by the runner; knows no Django."""

import re
from dataclasses import dataclass, field
from typing import Any

from pulumi import automation as auto

from contracts.engine import EngineEvent, PlanSummary
from contracts.plan_rows import OPS, PlanRows, op_of, urn_parts
from controlplane.operations.failures import BY_CODE, cause_of, failure

_VERBS = {"preview": "Planning", "up": "Applying", "destroy": "Destroying", "refresh": "Refreshing"}
_COUNTED = ("create", "update", "replace", "delete", "same")


@dataclass
class PhaseLog:
    """What one engine run (a preview, an update, a destroy) has said so far."""

    phase: str
    #: Its inputs are for policy and prices, and not for the parent.
    plan: PlanRows = field(default_factory=PlanRows)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)

    def translate(self, event: auto.EngineEvent) -> EngineEvent | None:
        """Our event for one of the engine's, or None for what no timeline needs. Remembers failures."""
        if event.resource_pre_event is not None:
            return self._resource(
                event.resource_pre_event.metadata, "planned" if self.phase == "preview" else "started"
            )
        if event.res_outputs_event is not None:
            return self._resource(event.res_outputs_event.metadata, "done")
        if event.res_op_failed_event is not None:
            self.failed.append(event.res_op_failed_event.metadata.urn)
            return self._resource(event.res_op_failed_event.metadata, "failed")
        if event.diagnostic_event is not None:
            return self._diagnostic(event.diagnostic_event)
        if event.summary_event is not None:
            return self._summary(event.summary_event)
        return None

    def _resource(self, metadata: Any, state: str) -> EngineEvent | None:
        op = op_of(metadata)
        if op is None:
            return None
        type_name, name = urn_parts(metadata.urn)
        data: dict[str, Any] = {
            "urn": metadata.urn,
            "type": type_name,
            "name": name,
            "op": op,
            "state": state,
            "phase": self.phase,
        }
        if state == "planned":
            data["diffs"] = self.plan.add(metadata)
        if state == "done":
            self._remember(metadata, op, type_name, name)
        return EngineEvent(kind="resource", data=data)

    def _remember(self, metadata: Any, op: str, type_name: str, name: str) -> None:
        if op == "delete":
            self.resources.pop(metadata.urn, None)
            self.deleted.add(metadata.urn)
            return
        new = getattr(metadata, "new", None) or getattr(metadata, "old", None)
        self.resources[metadata.urn] = {
            "urn": metadata.urn,
            "type": type_name,
            "name": name,
            "id": getattr(new, "id", "") or "",
            "parent": getattr(new, "parent", "") or "",
        }

    def _diagnostic(self, diagnostic: Any) -> EngineEvent | None:
        if getattr(diagnostic, "ephemeral", False) or not diagnostic.message.strip():
            return None
        if "using pulumi-resource-" in diagnostic.message:  # where a plugin lies is no news to an operator
            return None
        data = {
            "severity": diagnostic.severity,
            "message": diagnostic.message.strip(),
            "urn": diagnostic.urn or "",
            "phase": self.phase,
        }
        if diagnostic.severity == "error":
            self.errors.append({"urn": data["urn"], "message": data["message"]})
        return EngineEvent(kind="diagnostic", data=data)

    def _summary(self, summary: Any) -> EngineEvent:
        counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        for raw, count in dict(summary.resource_changes).items():
            op = OPS.get(str(getattr(raw, "value", raw)))
            # "create-replacement" and "delete-replaced" are halves of a replacement already counted.
            if op in counts and str(getattr(raw, "value", raw)) not in (
                "create-replacement",
                "delete-replaced",
            ):
                counts[op] += int(count)
        self.counts = counts
        data = {
            **PlanSummary(**counts).model_dump(),
            "duration_s": summary.duration_seconds,
            "phase": self.phase,
        }
        return EngineEvent(kind="summary", data=data)


def _killed(error: BaseException) -> bool:
    """Whether the CLI was ended by a signal: the Automation API begins its text with the exit code."""
    return isinstance(error, auto.CommandError) and re.match(r"\s*code: -\d+", str(error)) is not None


def failure_of(log: PhaseLog, error: BaseException) -> dict[str, Any]:
    """{code, title, detail, hint, resource} of an engine run that failed: one sentence on the cause, a way on, and
    the engine's own words."""
    if _killed(error):
        detail = "Something outside Freehold ended it with a signal; most often the system, out of memory."
        told = failure("engine_killed", what=f"{_VERBS[log.phase]} failed", detail=detail)
        # Its lock and unfinished steps are still there: the executor notes that, and takes this mark out.
        return {**told, "interrupted": True}
    resource = None
    if log.failed:
        type_name, name = urn_parts(log.failed[0])
        resource = {"urn": log.failed[0], "type": type_name, "name": name}
    about_resource = [e["message"] for e in log.errors if resource and e["urn"] == resource["urn"]]
    messages = about_resource or [e["message"] for e in log.errors]
    detail = "\n".join(messages) or str(error)[-4000:]
    verb = _VERBS[log.phase]
    what = f"{verb} failed at {resource['type']} '{resource['name']}'" if resource else f"{verb} failed"
    locked = isinstance(error, auto.ConcurrentUpdateError)
    cause = BY_CODE["stack_locked"] if locked else cause_of(detail) or cause_of(str(error))
    return failure(
        cause.code if cause else "pulumi_failed",
        what=what,
        detail=detail[:4000],
        resource=resource,
        more="Nothing was rolled back, and the next run goes on from there." if log.phase == "up" else "",
    )
