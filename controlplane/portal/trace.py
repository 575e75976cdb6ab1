"""The course of a run laid out on a line of time. Pure: what the runtime told in, rows and their bars out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext, gettext_noop

from controlplane.portal.agents import moment
from controlplane.portal.figures import elapsed_text, numeral
from controlplane.portal.spoken import spoken

#: Units of the drawing from the run's beginning to its end, and the least a bar takes so that it can be seen.
WIDTH: Final = 1000
_LEAST: Final = 4
_MARKS: Final = 4
_TITLES: Final = {
    "chat": gettext_noop("Model call"),
    "embed": gettext_noop("Embedding"),
    "tool": gettext_noop("Tool call"),
}
_NOTES: Final = {
    "intent": gettext_noop("no answer kept"),
    "unknown": gettext_noop("nobody knows whether it took effect"),
}
_ICONS: Final = {
    "chat": "brain-circuit",
    "embed": "boxes",
    "tool": "zap",
    "wait": "clock",
    "attempt": "rotate-ccw",
    "asks": "circle-pause",
    "error": "circle-x",
}


@dataclass(frozen=True)
class Span:
    """One row. `took_s` None: it is not over, or nobody knows how it ended. `x` and `width` are of WIDTH."""

    kind: str
    title: str
    name: str
    place: str
    state: str
    from_s: float
    took_s: float | None
    tokens_in: int | None
    tokens_out: int | None
    x: float
    width: float
    note: str = ""

    @property
    def icon(self) -> str:
        return _ICONS.get(self.kind, "circle-dot")

    @property
    def at_text(self) -> str:
        return length_text(self.from_s)

    @property
    def took_text(self) -> str:
        return "" if self.took_s is None else length_text(self.took_s)

    @property
    def node(self) -> str:
        """The step of the agent that made the call."""
        return self.place.partition(":")[2]


@dataclass(frozen=True)
class Trace:
    spans: list[Span]
    #: What stands above the bars, at equal distances from the beginning to the end.
    ticks: list[str]


@dataclass(frozen=True)
class _Line:
    begun: datetime
    total_s: float

    def at(self, when: datetime) -> float:
        return min(max((when - self.begun).total_seconds(), 0.0), self.total_s)

    def bar(self, from_s: float, took_s: float) -> tuple[float, float]:
        scale = WIDTH / self.total_s
        width = min(max(took_s * scale, _LEAST), WIDTH)
        return round(min(from_s * scale, WIDTH - width), 1), round(width, 1)


def length_text(seconds: float) -> str:
    """`12 ms`, `1.25 s`, then as elsewhere: calls differ by less than lists of operations do."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return numeral(f"{seconds:.2f} s") if seconds < 10 else elapsed_text(seconds)


def trace_of(course: Mapping[str, Any], now: datetime) -> Trace:
    """Waiting for a worker, attempts after the first, and every call, in the order they began."""
    begun = moment(course.get("created_at")) or now
    ended = moment(course.get("ended_at")) or now
    line = _Line(begun, max((ended - begun).total_seconds(), 0.001))
    spans = [*_waiting(course, line), *_attempts(course, line)]
    spans += [span for call in course.get("calls", []) if (span := _call(call, line)) is not None]
    spans.sort(key=lambda span: span.from_s)
    spans += _end(course, line)
    quarters = [line.total_s * part / _MARKS for part in range(_MARKS + 1)]
    return Trace(spans, [length_text(at) for at in quarters])


def _span(kind: str, title: str, line: _Line, from_s: float, took_s: float | None, **more: Any) -> Span:
    x, width = line.bar(from_s, line.total_s - from_s if took_s is None else took_s)
    known = {"name": "", "place": "", "state": "done", "tokens_in": None, "tokens_out": None, **more}
    return Span(kind=kind, title=title, from_s=from_s, took_s=took_s, x=x, width=width, **known)


def _waiting(course: Mapping[str, Any], line: _Line) -> list[Span]:
    started = moment(course.get("started_at"))
    if started is None:
        return [_span("wait", gettext("Waits for a worker"), line, 0.0, None, state="open")]
    return [_span("wait", gettext("Waited for a worker"), line, 0.0, line.at(started))]


def _attempts(course: Mapping[str, Any], line: _Line) -> list[Span]:
    found = []
    for row in course.get("attempts", [])[1:]:
        if (at := moment(row.get("begun_at"))) is not None:
            note = gettext("a worker took the run over, or it woke up")
            title = gettext("Attempt %(number)s") % {"number": row.get("attempt")}
            found.append(_span("attempt", title, line, line.at(at), 0.0, note=note))
    return found


def _end(course: Mapping[str, Any], line: _Line) -> list[Span]:
    """How it came to its end, where that is no success."""
    found = []
    if code := course.get("error_code"):
        found.append(_span("error", gettext("Ended with"), line, line.total_s, 0.0, name=str(code)))
    if course.get("waits_for_answer"):
        note = gettext("and waits for the answer")
        found.append(_span("asks", gettext("Asks a person"), line, line.total_s, 0.0, note=note))
    return found


def _call(call: Mapping[str, Any], line: _Line) -> Span | None:
    at = moment(call.get("begun_at"))
    if at is None:
        return None
    usage = call.get("usage") or {}
    counted = "input" in usage
    kind, state = str(call.get("kind", "")), str(call.get("state", ""))
    took = None if call.get("duration_ms") is None else int(call["duration_ms"]) / 1000
    tries = int(call.get("tries") or 1)
    return _span(
        kind, spoken(_TITLES.get(kind, kind)), line, line.at(at), took,
        name=str(call.get("name", "")), place=str(call.get("place") or ""), state=state,
        tokens_in=sum(int(usage.get(part) or 0) for part in ("input", "cached_input", "cache_write"))
        if counted
        else None,
        tokens_out=sum(int(usage.get(part) or 0) for part in ("output", "reasoning")) if counted else None,
        note=spoken(_NOTES.get(state, "")) or (gettext("try %(number)d") % {"number": tries} if tries > 1 else ""),
    )  # fmt: skip
