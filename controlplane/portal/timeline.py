"""The timeline of an operation as people read it: resources with their latest state, and log lines. Events in, text
in the language of the page out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext, gettext_noop, pgettext

from controlplane.operations import states
from controlplane.portal.figures import elapsed_text
from controlplane.portal.spoken import spoken
from controlplane.portal.words import word_text

_OP_SIGNS: Final = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
_PAST: Final = {
    "create": gettext_noop("created"),
    "update": gettext_noop("updated"),
    "replace": gettext_noop("replaced"),
    "delete": gettext_noop("deleted"),
    "same": gettext_noop("unchanged"),
    "read": gettext_noop("read"),
    "refresh": gettext_noop("refreshed"),
}
_PRESENT: Final = {
    "create": gettext_noop("creating"),
    "update": gettext_noop("updating"),
    "replace": gettext_noop("replacing"),
    "delete": gettext_noop("deleting"),
    "same": gettext_noop("checking"),
    "read": gettext_noop("reading"),
    "refresh": gettext_noop("refreshing"),
}
_SEVERITY_TONE: Final = {"error": "error", "warning": "warning"}
_END_TONE: Final = {states.SUCCEEDED: "good", states.FAILED: "error", states.CANCELED: "warning"}


@dataclass
class Resource:
    """One resource of the stack in this operation; `state` is planned, started, done or failed."""

    urn: str
    type: str
    name: str
    op: str
    state: str
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def sign(self) -> str:
        return _OP_SIGNS.get(self.op, "=")

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.urn)

    @property
    def words(self) -> str:
        if self.state == "planned":
            return gettext("unchanged") if self.op == "same" else _ahead(self.op)
        if self.state == "started":
            return spoken(_PRESENT.get(self.op, self.op))
        if self.state == "failed":
            return gettext("%(op)s failed") % {"op": word_text(self.op)}
        return spoken(_PAST.get(self.op, self.op))


@dataclass(frozen=True)
class Line:
    """One line of the log. `id` is the event's, so that a line is never shown twice."""

    id: int
    at: datetime
    what: str
    text: str
    tone: str = ""


@dataclass
class Timeline:
    resources: dict[str, Resource] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    cursor: int = 0

    @property
    def rows(self) -> list[Resource]:
        """What changes first, in the order it was met; what stays the same last."""
        found = list(self.resources.values())
        return [r for r in found if r.op not in ("same", "read")] + [
            r for r in found if r.op in ("same", "read")
        ]


def timeline_of(events: Iterable[Any]) -> Timeline:
    """Folds stored events ({id, at, type, data}). A new attempt begins with an empty list of resources."""
    timeline = Timeline()
    for event in events:
        timeline.cursor = max(timeline.cursor, event.id)
        if event.type == "state" and event.data.get("state") == states.PLANNING:
            timeline.resources.clear()
        if event.type == "resource":
            _resource(timeline.resources, event.data, event.at)
        text, tone = _line(event.type, event.data, timeline.resources)
        if text:
            timeline.lines.append(Line(event.id, event.at, event.type, text, tone))
    return timeline


def _resource(known: dict[str, Resource], data: Mapping[str, Any], at: datetime) -> None:
    urn = str(data.get("urn", ""))
    # A preview ends its look at a resource too, but nothing was done to it.
    state = "planned" if data.get("phase") == "preview" else str(data.get("state", "planned"))
    resource = known.get(urn)
    if resource is None:
        resource = Resource(urn, str(data.get("type", "")), str(data.get("name", "")), "", state)
        known[urn] = resource
    resource.op, resource.state = str(data.get("op", "")), state
    if state == "started":
        resource.started_at, resource.finished_at = at, None
    elif state in ("done", "failed"):
        resource.finished_at = at


def _line(kind: str, data: Mapping[str, Any], resources: Mapping[str, Resource]) -> tuple[str, str]:
    match kind:
        case "state":
            return _state_line(data)
        case "step":
            state = str(data.get("state", ""))
            detail = f": {spoken(str(data['detail']))}" if data.get("detail") else ""
            verb = gettext("begins") if state == states.STEP_RUNNING else word_text(state)
            said = gettext("Step %(name)s %(verb)s") % {"name": data.get("name", ""), "verb": verb}
            return f"{said}{detail}", _SEVERITY_TONE.get(state, "")
        case "resource":
            return _resource_line(data, resources)
        case "diagnostic":
            severity = str(data.get("severity", ""))
            return str(data.get("message", "")), _SEVERITY_TONE.get(severity, "")
        case "summary":
            parts = [
                f"{data[key]} {word_text(key)}"
                for key in ("create", "update", "replace", "delete")
                if data.get(key)
            ]
            phase = _capital(word_text(str(data.get("phase", "run"))))
            return f"{phase}: {', '.join(parts) or gettext('no changes')}", ""
        case "cancel":
            who = str(data.get("by", "")).removeprefix("user:")
            return gettext("Cancel requested by %(who)s") % {"who": who}, "warning"
        case _:
            return str(data.get("message") or kind), ""


def _state_line(data: Mapping[str, Any]) -> tuple[str, str]:
    state = str(data.get("state", ""))
    text = _capital(word_text(state))
    if verb := data.get("verb"):
        who = str(data.get("by", "")).removeprefix("user:")
        text += ": " + gettext("%(verb)s by %(who)s") % {"verb": word_text(str(verb)), "who": who}
    if int(data.get("attempt") or 1) > 1:
        text += f" ({gettext('attempt %(number)s') % {'number': data['attempt']}})"
    if why := data.get("why") or data.get("reason"):
        text += f". {spoken(str(why))}"
    error = data.get("error")
    if isinstance(error, Mapping):
        text += f": {error.get('title', '')}"
    return text, _END_TONE.get(state, "")


def _resource_line(data: Mapping[str, Any], resources: Mapping[str, Resource]) -> tuple[str, str]:
    op, state = str(data.get("op", "")), str(data.get("state", ""))
    name = f"{data.get('name', '')} ({data.get('type', '')})"
    if data.get("phase") == "preview":
        # Only what would change is news; the table has the rest.
        if state != "planned" or op in ("same", "read"):
            return "", ""
        return gettext("would %(op)s %(name)s") % {"op": word_text(op), "name": name}, ""
    if state == "started":
        return ("", "") if op in ("same", "read") else (f"{spoken(_PRESENT.get(op, op))} {name}", "")
    if state == "failed":
        return gettext("%(op)s failed: %(name)s") % {"op": word_text(op), "name": name}, "error"
    if op in ("same", "read"):
        return "", ""
    resource = resources.get(str(data.get("urn", "")))
    took = ""
    if resource is not None and resource.started_at is not None and resource.finished_at is not None:
        seconds = (resource.finished_at - resource.started_at).total_seconds()
        took = " " + pgettext("duration", "in %(time)s") % {"time": elapsed_text(seconds)}
    return f"{spoken(_PAST.get(op, op))} {name}{took}", "good"


def _ahead(op: str) -> str:
    return gettext("to %(op)s") % {"op": word_text(op)}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
