"""How a course is laid out in time: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.portal.trace import WIDTH, trace_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def course(**more: Any) -> dict[str, Any]:
    call = {"attempt": 1, "place": "1:plan", "kind": "chat", "name": "m", "state": "done", "tries": 1}
    usage = {"input": 10, "cached_input": 5, "cache_write": 0, "output": 3, "reasoning": 4}
    known = {
        "created_at": at(0),
        "started_at": at(2),
        "ended_at": at(10),
        "attempts": [{"attempt": 1, "begun_at": at(2)}],
        "calls": [{**call, "begun_at": at(5), "duration_ms": 2500, "usage": usage}],
    }
    return {**known, **more}


def test_bars_stand_where_and_as_long_as_their_calls() -> None:
    wait, call = trace_of(course(), START).spans
    assert (wait.x, wait.width, wait.took_s) == (0, 200, 2.0)
    assert (call.x, call.width, call.took_s) == (500, 250, 2.5)
    assert (call.tokens_in, call.tokens_out, call.node) == (15, 7, "plan")


def test_what_is_not_over_reaches_to_now() -> None:
    calls = [{**course()["calls"][0], "duration_ms": None, "usage": None, "state": "intent", "place": None}]
    trace = trace_of(course(ended_at=None, calls=calls), START + timedelta(seconds=20))
    call = trace.spans[-1]
    assert (call.x, call.width, call.took_s) == (250, 750, None)
    assert call.note == "no answer kept"
    waiting = trace_of(course(started_at=None, ended_at=None, calls=[]), START + timedelta(seconds=3)).spans
    assert [(span.title, span.width) for span in waiting] == [("Waits for a worker", WIDTH)]


def test_a_takeover_is_a_row_of_its_own_in_its_place() -> None:
    attempts = [{"attempt": 1, "begun_at": at(2)}, {"attempt": 2, "begun_at": at(4)}]
    trace = trace_of(course(attempts=attempts), START)
    assert [span.kind for span in trace.spans] == ["wait", "attempt", "chat"]
    assert trace.spans[1].title == "Attempt 2"


def test_a_bad_end_and_a_question_stand_at_the_end() -> None:
    trace = trace_of(course(error_code="ValueError", waits_for_answer=True), START)
    assert [(span.title, span.name) for span in trace.spans[-2:]] == [
        ("Ended with", "ValueError"),
        ("Asks a person", ""),
    ]
    assert {span.x + span.width for span in trace.spans[-2:]} == {WIDTH}


@pytest.mark.parametrize(
    ("ended", "ticks"),
    [
        (0.2, ["0 ms", "50 ms", "100 ms", "150 ms", "200 ms"]),
        (80, ["0 ms", "20 s", "40 s", "1 min 0 s", "1 min 20 s"]),
    ],
)
def test_marks_differ(ended: float, ticks: list[str]) -> None:
    assert trace_of(course(ended_at=at(ended), calls=[]), START).ticks == ticks


def test_bars_stay_inside_whatever_the_clocks_say() -> None:
    """The database's clock and a worker's may differ; a call of no length is still seen."""
    call = course()["calls"][0]
    calls = [
        {**call, "begun_at": at(seconds), "duration_ms": ms}
        for seconds, ms in ((-5, 0), (10, 0), (9, 90_000))
    ]
    for span in trace_of(course(calls=calls), START).spans:
        assert 0 <= span.x <= WIDTH
        assert span.width > 0
        assert span.x + span.width <= WIDTH
