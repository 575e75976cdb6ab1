"""Totals are exact: for any order, batches, boundaries, corrections and moments of knowledge, against a plain model."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.metering.corrections import event_amend, event_void
from billing.metering.decoding import batch_decode
from billing.metering.explain import events_of
from billing.metering.selectors import usage_query, usage_totals
from billing.metering.services import usage_ingest
from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)
LATEST = datetime(2026, 12, 1, tzinfo=UTC)
SOURCE = "/tenants/acme/runtime/0"
Event = dict[str, Any]
Totals = dict[str, Fraction]

few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
#: Few minutes and seconds, so that edges are hit, and few names, so that they meet.
moments = st.builds(
    lambda minute, micro: BEGIN + timedelta(minutes=minute, microseconds=micro),
    st.sampled_from([0, 1, 14, 15, 16, 29, 30, 44, 45, 59, 60, 61, 74, 75, 120, 181]),
    st.sampled_from([0, 0, 1, 30_000_000, 59_999_999]),
)
names = st.sampled_from(["a", "b"])


@st.composite
def bodies(draw: st.DrawFn, event_id: str = "0") -> Event:
    kind = draw(st.sampled_from([MODEL_USAGE, TOOL_USAGE, RUN_USAGE, STORAGE_USAGE]))
    data: dict[str, Any] = {"run_id": "r", "user": draw(names), "agent": draw(names)}
    if kind == MODEL_USAGE:
        data |= {
            "step": 1,
            "model": draw(names),
            "input_tokens": draw(st.integers(0, 9)),
            "output_tokens": "3",
        }
    elif kind == TOOL_USAGE:
        data |= {"step": 1, "tool": draw(names), "cached": draw(st.booleans())}
    elif kind == RUN_USAGE:
        outcome = st.sampled_from(["success", "error", "timeout"])
        data |= {"outcome": draw(outcome), "duration_ms": draw(st.sampled_from([0, "1", 1500, "2500.5"]))}
    else:
        data = {"component": draw(names), "bytes": draw(st.integers(0, 9)) * 10**9}
    return {
        "specversion": "1.0", "id": event_id, "source": SOURCE, "subject": "acme", "type": kind,
        "time": draw(moments).isoformat(), "data": data,
    }  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> list[Event]:
    return [draw(bodies(str(number))) for number in range(draw(st.integers(1, 14)))]


stretches = st.tuples(moments, moments).map(sorted).filter(lambda pair: pair[0] < pair[1])


def send(tenant_id: UUID, events: Sequence[Event], received_at: datetime = RECEIVED) -> None:
    sent = batch_decode(json.dumps(list(events)).encode())
    answer = usage_ingest(tenant_id=tenant_id, subject="acme", events=sent, received_at=received_at)
    assert {result.outcome for result in answer.results} <= {"accepted", "duplicate"}, answer


def measured(tenant_id: UUID, start: datetime, end: datetime, **how: Any) -> Totals:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for total in usage_totals(tenant_id=tenant_id, start=start, end=end, as_of=LATEST, **how):
        if total.meter != "storage_gb_months":
            sums[total.meter] += Fraction(total.value)
    return {meter: value for meter, value in sums.items() if value}


def modelled(events: Iterable[Event], start: datetime, end: datetime) -> Totals:
    """Straight from the meaning of each meter, over the events alone."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    users: set[str] = set()
    latest: dict[str, tuple[datetime, str, int]] = {}
    for event in events:
        time, data = datetime.fromisoformat(event["time"]), event["data"]
        if not start <= time < end:
            continue
        if event["type"] == MODEL_USAGE:
            sums["input_tokens"] += data["input_tokens"]
            sums["output_tokens"] += 3
        elif event["type"] == TOOL_USAGE:
            sums["tool_calls"] += 1
        elif event["type"] == RUN_USAGE:
            seconds = Fraction(str(data["duration_ms"])) / 1000
            sums["agent_runs"] += 1
            sums["failed_runs"] += data["outcome"] != "success"
            sums["run_seconds"] += seconds
            sums["longest_run_seconds"] = max(sums["longest_run_seconds"], seconds)
            users.add(data["user"])
        else:
            sample = (time, event["id"], data["bytes"])
            latest[data["component"]] = max(latest.get(data["component"], sample), sample)
    sums["active_users"] = Fraction(len(users))
    sums["storage_bytes"] = Fraction(sum(sample[2] for sample in latest.values()))
    return {meter: value for meter, value in sums.items() if value}


@few
@given(worlds(), st.randoms(use_true_random=False), stretches)
def test_order_and_batches_do_not_matter_and_any_boundaries_are_exact(
    world: list[Event], rng: Any, stretch: list[datetime]
) -> None:
    tenant_id, stream = uuid4(), [*world, *rng.sample(world, rng.randrange(len(world)))]
    rng.shuffle(stream)
    while stream:
        size = rng.randint(1, len(stream))
        send(tenant_id, stream[:size])
        stream = stream[size:]
    for start, end in (stretch, (BEGIN, LATEST)):
        expected = modelled(world, start, end)
        assert measured(tenant_id, start, end) == expected
        assert _explained(tenant_id, start, end) == {
            meter: value for meter, value in expected.items() if meter not in NOT_ADDED_UP
        }
        by_user = _by_user(tenant_id, start, end)
        assert by_user == {meter: value for meter, value in expected.items() if meter in by_user}


NOT_ADDED_UP = ("active_users", "longest_run_seconds", "storage_bytes")


def _explained(tenant_id: UUID, start: datetime, end: datetime) -> Totals:
    """The same, from the events that explain each total, in pages of two."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for meter in ("input_tokens", "output_tokens", "tool_calls", "agent_runs", "failed_runs", "run_seconds"):
        after = None
        while True:
            page = events_of(
                tenant_id=tenant_id,
                meter=meter,
                dimensions_match={},
                start=start,
                end=end,
                limit=2,
                after=after,
            )
            for item in page:
                sums[meter] += Fraction(item.value)
            if len(page) < 2:
                break
            after = page[-1].cursor
    return {meter: value for meter, value in sums.items() if value}


def _by_user(tenant_id: UUID, start: datetime, end: datetime) -> Totals:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    totals = usage_totals(tenant_id=tenant_id, start=start, end=end, as_of=LATEST, by_user=True)
    for total in totals:
        assert total.dimension("user") in ("a", "b")
        sums[total.meter] += Fraction(total.value)
    return dict(sums)


@few
@given(worlds(), stretches, st.sampled_from(["hour", "day"]), st.sampled_from(["UTC", "Asia/Kathmandu"]))
def test_windows_of_any_zone_add_up_to_the_model(
    world: list[Event], stretch: list[datetime], size: str, zone: str
) -> None:
    tenant_id, (start, end) = uuid4(), stretch
    send(tenant_id, world)
    for meter in ("input_tokens", "agent_runs", "longest_run_seconds", "active_users", "storage_bytes"):
        answer = usage_query(
            tenant_id=tenant_id, meter=meter, start=start, end=end, window=size, timezone=zone, as_of=LATEST
        )
        for row in answer["results"]:
            inside = (datetime.fromisoformat(row["from"]), datetime.fromisoformat(row["to"]))
            assert Fraction(row["value"]) == modelled(world, *inside).get(meter, 0)
        if meter == "input_tokens":
            total = sum((Fraction(row["value"]) for row in answer["results"]), Fraction(0))
            assert total == modelled(world, start, end).get(meter, 0)


@dataclass(frozen=True)
class Correction:
    event_id: str
    body: Event | None


@st.composite
def corrected_worlds(draw: st.DrawFn) -> tuple[list[Event], list[Correction]]:
    world = draw(worlds())
    chosen = draw(st.lists(st.sampled_from(range(len(world))), unique=True, max_size=4))
    corrections = []
    for index in chosen:
        event = world[index]
        other = draw(bodies(event["id"]).filter(lambda body, kind=event["type"]: body["type"] == kind))
        first = draw(st.sampled_from([None, other]))
        corrections.append(Correction(event["id"], first))
        if first is not None and draw(st.booleans()):
            corrections.append(Correction(event["id"], None))
    return world, corrections


def correct(tenant_id: UUID, correction: Correction, at: datetime) -> None:
    what: dict[str, Any] = {
        "tenant_id": tenant_id, "source": SOURCE, "event_id": correction.event_id, "reason": "wrong", "actor": "test",
        "at": at,
    }  # fmt: skip
    if correction.body is None:
        event_void(**what)
    else:
        event_amend(**what, body=correction.body)


def after(world: Sequence[Event], corrections: Sequence[Correction]) -> list[Event]:
    events: dict[str, Event] = {event["id"]: event for event in world}
    for correction in corrections:
        if correction.body is None:
            events.pop(correction.event_id)
        else:
            events[correction.event_id] = correction.body
    return list(events.values())


@few
@given(corrected_worlds(), stretches)
def test_corrections_equal_the_world_in_which_the_right_events_had_come(
    case: tuple[list[Event], list[Correction]], stretch: list[datetime]
) -> None:
    (world, corrections), tenant_id, twin = case, uuid4(), uuid4()
    send(tenant_id, world)
    for correction in corrections:
        correct(tenant_id, correction, RECEIVED + timedelta(hours=1))
    right = after(world, corrections)
    if right:
        send(twin, right)
    for start, end in (stretch, (BEGIN, LATEST)):
        assert measured(tenant_id, start, end) == measured(twin, start, end) == modelled(right, start, end)
        assert _by_user(tenant_id, start, end) == _by_user(twin, start, end)
    whole = {"tenant_id": tenant_id, "start": BEGIN, "end": LATEST, "as_of": LATEST}
    assert usage_totals(**whole) == usage_totals(**{**whole, "tenant_id": twin})


@few
@given(corrected_worlds(), worlds(), stretches)
def test_what_was_known_earlier_stays_known(
    case: tuple[list[Event], list[Correction]], late: list[Event], stretch: list[datetime]
) -> None:
    """Events and corrections that come in one after the other; each moment is asked for again at the end."""
    (world, corrections), tenant_id = case, uuid4()
    send(tenant_id, world)
    states = [(RECEIVED, list(world))]
    for number, _ in enumerate(corrections, start=1):
        at = RECEIVED + timedelta(hours=number)
        correct(tenant_id, corrections[number - 1], at)
        states.append((at, after(world, corrections[:number])))
    at = RECEIVED + timedelta(days=1)
    renamed = [{**event, "id": f"late-{event['id']}"} for event in late]
    send(tenant_id, renamed, at)
    states.append((at, [*states[-1][1], *renamed]))
    for known_at, events in states:
        for start, end in (stretch, (BEGIN, LATEST)):
            told = measured(tenant_id, start, end, known_at=known_at)
            assert told == modelled(events, start, end)
