"""The fast judge and the thorough one agree about everything that can be sent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.metering.arrays import array_text, copy_text
from billing.metering.decoding import batch_decode, event_decode, events_judge, stored_event
from billing.metering.events import RejectedEvent, event_judge
from billing.metering.facts import ValidEvent
from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
WHOLE: dict[str, dict[str, Any]] = {
    MODEL_USAGE: {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": "m", "input_tokens": "12"},
    TOOL_USAGE: {"run_id": "r", "step": "s", "user": "u", "agent": "a", "tool": "t", "cached": True},
    RUN_USAGE: {"run_id": "r", "user": "u", "agent": "a", "outcome": "error", "duration_ms": 1500},
    STORAGE_USAGE: {"component": "postgres", "bytes": "4096"},
}
ATTRIBUTES: dict[str, Any] = {
    "specversion": "1.0", "id": "1", "source": "/tenants/acme/runtime/0", "subject": "acme",
    "time": "2026-11-20T10:00:00Z", "datacontenttype": "application/json",
}  # fmt: skip

counts = st.one_of(
    st.integers(-3, 10**40),
    st.integers(0, 5000).map(str),
    st.sampled_from(
        ["", " 7", "7 ", "1_000", "٣", "²", "1e3", "1.0", "1.5", "-1", "+1", "007", "NaN", "9" * 31, 1.5, 2.0]
    ),
    st.none(),
    st.booleans(),
)
texts = st.one_of(
    st.text('aé"\\\n\x7f', max_size=5),
    st.sampled_from(["", "x" * 200, "x" * 201, "a\0b", "\\u0000", "\u2028/é\t"]),
)
anything = st.one_of(
    counts, texts, st.lists(st.integers(), max_size=2), st.dictionaries(texts, counts, max_size=2)
)
times = st.sampled_from(
    [
        "2026-11-20T10:00:00Z", "2026-11-20t10:00:00z", "2026-11-20 10:00:00+01:00", "2026-11-20T10:00:00.1234567Z",
        "2026-11-20T10:00:00.999999+23:59", "2026-11-20T10:00Z", "2026-11-20T10:00:00", "2026-11-20", "1763632800",
        "2026-11-21T10:05:00Z", "2026-11-21T10:05:01Z", "2016-12-31T23:59:60Z", "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-20T24:00:00Z",
        "2026-11-20T10:00:00+2459", "2026-W47-5T10:00:00Z", "", "2026-11-20T10:00:00,5Z",
    ]
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """A whole event with up to three things about it changed, added or left out."""
    kind = draw(st.sampled_from(sorted(WHOLE)))
    event = {**ATTRIBUTES, "type": kind, "data": dict(WHOLE[kind])}
    for _ in range(draw(st.integers(0, 3))):
        where = (
            draw(st.sampled_from([event, event["data"]])) if isinstance(event.get("data"), dict) else event
        )
        name = draw(
            st.sampled_from([*where, "more", "duration_ms", "model_calls", "agent_version", "output_tokens"])
        )
        if draw(st.booleans()):
            where.pop(name, None)
        else:
            usual = (
                times if name == "time" else counts if name.endswith(("tokens", "bytes", "ms")) else anything
            )
            where[name] = draw(usual)
    return event


def _as_sent(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _told(judged: ValidEvent | RejectedEvent) -> Any:
    if isinstance(judged, RejectedEvent):
        return judged
    return (
        judged.key,
        judged.type,
        judged.time,
        judged.body,
        judged.body_hash,
        judged.values,
        judged.numbers,
    )


@settings(deadline=None, max_examples=400)
@given(events())
@example({**ATTRIBUTES, "type": TOOL_USAGE, "data": {**WHOLE[TOOL_USAGE], "duration_ms": "1.5"}})
@example({**ATTRIBUTES, "type": MODEL_USAGE, "data": {**WHOLE[MODEL_USAGE], "input_tokens": True}})
def test_fast_and_thorough_agree(event: dict[str, Any]) -> None:
    body = _as_sent([event])
    plain = json.loads(body, parse_float=str)[0]
    (fast,) = events_judge(batch_decode(body), subject="acme", received_at=NOW)
    assert _told(fast) == _told(event_judge(plain, subject="acme", received_at=NOW))
    (alone,) = events_judge([event_decode(_as_sent(event))], subject="acme", received_at=NOW)
    assert _told(alone) == _told(fast)


@settings(deadline=None, max_examples=400)
@given(events())
def test_a_stored_event_counts_as_it_did_when_it_came(event: dict[str, Any]) -> None:
    (judged,) = events_judge(batch_decode(_as_sent([event])), subject="acme", received_at=NOW)
    if isinstance(judged, ValidEvent):
        again = stored_event(judged.body)
        assert (again.key, again.values, again.numbers) == (judged.key, judged.values, judged.numbers)


def test_the_usual_events_are_recognized_without_the_thorough_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.metering.decoding.event_judge", None)
    sent = [{**ATTRIBUTES, "id": kind, "type": kind, "data": data} for kind, data in WHOLE.items()]
    judged = events_judge(batch_decode(_as_sent(sent)), subject="acme", received_at=NOW)
    assert [event.type for event in judged if isinstance(event, ValidEvent)] == list(WHOLE)


@pytest.mark.parametrize("odd", [b'"\\ud800"', b"NaN", b"1e999", b"[" * 200 + b"]" * 200, b"{}", b"null"])
def test_what_is_odd_about_one_event_leaves_the_others(odd: bytes) -> None:
    whole = _as_sent({**ATTRIBUTES, "type": RUN_USAGE, "data": WHOLE[RUN_USAGE]})
    strange = whole.replace(b'"error"', odd)
    first, second, third = events_judge(
        batch_decode(b"[%b,%b,%b]" % (whole, strange, odd)),
        subject="acme",
        received_at=NOW + timedelta(days=1),
    )
    assert (type(first), type(second), type(third)) == (ValidEvent, RejectedEvent, RejectedEvent)


@pytest.mark.parametrize(("body", "error"), [(b"{", ValueError), (b"[1,]", ValueError), (b"{}", TypeError)])
def test_what_is_no_batch_is_said_so(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        batch_decode(body)


def test_texts_are_escaped_for_postgres() -> None:
    assert array_text([]) == "{}"
    assert array_text(['a"b', "c\\d", "", "NULL", "e,f}"]) == '{"a\\"b","c\\\\d","","NULL","e,f}"}'
    assert copy_text("a\tb\nc\\d\r") == "a\\tb\\nc\\\\d\\r"
