"""The pure parts: figures, the chart, the folded timeline, and looks of states."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from controlplane.operations import states as operation_states
from controlplane.portal import figures, words
from controlplane.portal.chart import HEIGHT, axis_top, month_chart
from controlplane.portal.timeline import timeline_of
from controlplane.tenants import states as tenant_states

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "text"),
    [("0", "0"), ("1234567.500000", "1,234,567.5"), ("0.00004", "0"), ("100", "100"), ("no", "no")],
)
def test_quantities(raw: str, text: str) -> None:
    assert figures.quantity_text(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"), [("1234.5", "$1,234.50"), ("0", "$0.00"), ("-3", "-$3.00"), ("NaN", "NaN")]
)
def test_money(raw: str, text: str) -> None:
    assert figures.money_text(raw) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("49.00", "$49.00"),
        ("0.002", "$0.002"),
        ("0.0000006", "$0.60 / 1M"),
        ("0.00000006", "$0.06 / 1M"),
        ("-0.037", "-$0.037"),
    ],
)
def test_unit_prices(raw: str, text: str) -> None:
    assert figures.price_text(raw) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (12.9, "12 s"), (125, "2 min 5 s"), (3790, "1 h 3 min")]
)
def test_elapsed(seconds: float, text: str) -> None:
    assert figures.elapsed_text(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=40), "11 Oct 2026"),
        (timedelta(days=-3), "in 3 days"),
    ],
)
def test_relative(ago: timedelta, text: str) -> None:
    assert figures.relative_text(NOW - ago, NOW) == text


@pytest.mark.parametrize(
    ("peak", "top"),
    [
        ("0", "1"),
        ("1", "1"),
        ("1.1", "2"),
        ("2.3", "2.5"),
        ("7", "10"),
        ("1232090", "2000000"),
        ("0.03", "0.05"),
    ],
)
def test_the_axis_ends_at_a_round_number(peak: str, top: str) -> None:
    assert axis_top(Decimal(peak)) == Decimal(top)


def test_a_chart_has_a_slot_for_each_day_and_none_overflows() -> None:
    daily = [("2026-02-01", "5"), ("2026-02-03", "10"), ("2026-02-04", "0.0001")]

    chart = month_chart(period="2026-02", daily=daily, unit="run", today=date(2026, 2, 4))

    assert len(chart.bars) == 28
    assert [bar.height for bar in chart.bars[:3]] == [HEIGHT / 2, 0, HEIGHT]
    assert chart.bars[3].height > 1, "a little usage is still to be seen"
    assert chart.bars[3].today
    assert [str(bar.date) for bar in chart.rows] == ["2026-02-01", "2026-02-03", "2026-02-04"]
    assert chart.y_labels == ("10", "7.5", "5", "2.5", "0")
    assert all(0 <= bar.y <= HEIGHT and bar.y + bar.height <= HEIGHT + 0.01 for bar in chart.bars)


def test_every_state_has_a_look() -> None:
    assert set(words.LIFECYCLE) == set(tenant_states.LIFECYCLES)
    assert set(words.HEALTH) == set(tenant_states.HEALTHS)
    assert set(words.BILLING) == set(tenant_states.STANDINGS)
    assert set(words.OPERATION) == set(operation_states.STATES)
    assert set(words.STEP) == set(operation_states.STEP_STATES)
    assert set(words.KIND_TITLES) == set(operation_states.KINDS)
    assert words.HEALTH[tenant_states.UNKNOWN].tone == "idle"


@dataclass
class Event:
    id: int
    type: str
    data: dict[str, Any]
    at: datetime = NOW


def resource(number: int, state: str, *, phase: str = "up", op: str = "create") -> Event:
    row = {"urn": "urn:a", "type": "t:i:A", "name": "a", "op": op, "state": state, "phase": phase}
    return Event(number, "resource", row, NOW + timedelta(seconds=number))


def test_resources_take_their_latest_state() -> None:
    events = [resource(1, "planned", phase="preview"), resource(2, "started"), resource(4, "done")]

    timeline = timeline_of(events)

    assert [(row.name, row.state, row.words) for row in timeline.rows] == [("a", "done", "created")]
    assert [line.text for line in timeline.lines] == [
        "would create a (t:i:A)",
        "creating a (t:i:A)",
        "created a (t:i:A) in 2.0 s",
    ]
    assert timeline.cursor == 4


def test_a_previews_end_of_a_resource_is_not_a_deed() -> None:
    timeline = timeline_of([resource(1, "planned", phase="preview"), resource(2, "done", phase="preview")])

    assert [row.state for row in timeline.rows] == ["planned"]


def test_a_new_attempt_begins_with_no_resources() -> None:
    events = [
        resource(1, "failed"),
        Event(2, "state", {"state": "queued", "attempt": 2, "verb": "retried", "by": "user:ada@example.com"}),
        Event(3, "state", {"state": "planning", "attempt": 2}),
    ]

    timeline = timeline_of(events)

    assert timeline.rows == []
    assert timeline.lines[-2].text == "Queued: retried by ada@example.com (attempt 2)"
    assert timeline.lines[0].tone == "error"


def test_an_event_of_an_unknown_kind_is_shown_by_its_name() -> None:
    assert timeline_of([Event(1, "weather", {})]).lines[0].text == "weather"


def test_what_stays_the_same_comes_last_and_is_no_news() -> None:
    same = Event(1, "resource", {"urn": "urn:b", "type": "t", "name": "b", "op": "same", "state": "done"})

    timeline = timeline_of([same, resource(2, "done", op="update")])

    assert [row.name for row in timeline.rows] == ["a", "b"]
    assert len(timeline.lines) == 1


@pytest.mark.parametrize(
    ("currency", "text"),
    # An amount is not broken off from its currency at the end of a line.
    [("EUR", "€1,234.50"), ("JPY", "1,234\N{NO-BREAK SPACE}JPY"), ("KWD", "1,234.500\N{NO-BREAK SPACE}KWD")],
)
def test_money_has_the_places_of_its_currency(currency: str, text: str) -> None:
    assert figures.money_text("1234" if currency == "JPY" else "1234.5", currency) == text
