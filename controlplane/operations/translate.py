"""Pure translation of the Pulumi engine's events into ours. Imported by the runner; knows no Django."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi import automation as auto

from contracts.engine import EngineEvent, PlanSummary
from contracts.planned import PlannedResource, ResourceOp
from controlplane.operations.failures import BY_CODE, cause_of, failure

#: Engine operations, by what they mean to an operator. Replacement steps count once, at `replace`.
_OPS: dict[str, ResourceOp] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "delete": "delete",
    "discard": "delete",
    "same": "same",
    "read": "read",
    "refresh": "refresh",
}
_VERBS = {"preview": "Planning", "up": "Applying", "destroy": "Destroying", "refresh": "Refreshing"}
_COUNTED = ("create", "update", "replace", "delete", "same")


def urn_parts(urn: str) -> tuple[str, str]:
    """(type, name) of `urn:pulumi:<stack>::<project>::<parent$type>::<name>`."""
    pieces = urn.split("::")
    if len(pieces) < 4:
        return "", urn
    return pieces[2].split("$")[-1], "::".join(pieces[3:])


@dataclass
class PhaseLog:
    """What one engine run (a preview, an update, a destroy) has said so far."""

    phase: str
    plan: list[dict[str, Any]] = field(default_factory=list)
    #: The same with inputs, by URN: for policy and prices, which the parent is not to see.
    planned: dict[str, PlannedResource] = field(default_factory=dict)
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
        op = _OPS.get(str(getattr(metadata.op, "value", metadata.op)))
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
            diffs = _diffs(metadata)
            data["diffs"] = diffs
            self.plan.append({key: data[key] for key in ("urn", "type", "name", "op", "diffs")})
            self._plan_inputs(metadata, op, type_name, name)
        if state == "done":
            self._remember(metadata, op, type_name, name)
        return EngineEvent(kind="resource", data=data)

    def _plan_inputs(self, metadata: Any, op: ResourceOp, type_name: str, name: str) -> None:
        if op in ("read", "refresh"):
            return
        known = self.planned.get(metadata.urn)
        old, new = (getattr(getattr(metadata, side, None), "inputs", None) for side in ("old", "new"))
        before = old if old is not None else known and known.before
        # The steps of a replacement each tell a part: the new one has no old, the deleted one no new.
        after = None if op == "delete" else new if new is not None else known and known.after
        self.planned[metadata.urn] = PlannedResource(
            urn=metadata.urn, type=type_name, name=name, op=op, before=before, after=after
        )

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
            op = _OPS.get(str(getattr(raw, "value", raw)))
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


def _diffs(metadata: Any) -> list[dict[str, str]]:
    """Changed properties; values stay out, since a plan is read by more people than secrets are."""
    detailed: Mapping[str, Any] = getattr(metadata, "detailed_diff", None) or {}
    if detailed:
        return [
            {"path": path, "kind": str(getattr(diff.diff_kind, "value", diff.diff_kind))}
            for path, diff in sorted(detailed.items())
        ]
    return [{"path": path, "kind": "update"} for path in (getattr(metadata, "diffs", None) or [])]


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
