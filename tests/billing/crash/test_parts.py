"""The instruments themselves: the generator, its ledger worked out by hand, and what the judge says of answers."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.billing.crash.generator import MODEL, STORAGE, TOOL, Sent, Stream
from tests.billing.crash.judge import answers_wrong
from tests.billing.crash.ledger import Ledger
from tests.billing.crash.sender import Answered

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
STREAM = Stream(1, "acme", 0, AT)
OCTOBER, DECEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def test_a_stream_is_the_same_each_time_and_another_with_another_seed() -> None:
    texts = [[each.text for each in batch] for batch in itertools.islice(STREAM.batches(), 50)]
    assert texts == [[each.text for each in batch] for batch in itertools.islice(STREAM.batches(), 50)]
    other = Stream(2, "acme", 0, AT)
    assert texts != [[each.text for each in batch] for batch in itertools.islice(other.batches(), 50)]


def test_a_stream_holds_all_that_senders_do() -> None:
    sent = [each for batch in itertools.islice(STREAM.batches(), 100) for each in batch]
    outcomes = Counter(each.outcome for each in sent)
    assert min(outcomes[name] for name in ("accepted", "duplicate", "conflict", "rejected")) > 10
    rejected = {each.event["id"] for each in sent if each.outcome == "rejected"}
    taken = [each for each in sent if each.outcome == "accepted"]
    assert rejected & {each.event["id"] for each in taken}, "something broken is mended and sent again"
    counts = [Fraction(each.event["data"].get("input_tokens", 0)) for each in taken]
    assert any(Fraction(float(count)) != count for count in counts), (
        "some counts are more than a float can hold"
    )
    times = [datetime.fromisoformat(each.event["time"]) for each in taken]
    assert times != sorted(times)
    assert max(times) < AT
    assert min(times) < AT - timedelta(days=31)
    assert any("." in each.event["data"].get("bytes", "") for each in taken)


def _sent(type_: str, time: str, id_: str, **data: Any) -> Sent:
    event = {"id": id_, "source": STREAM.source, "type": type_, "time": time, "data": data}
    return Sent("", "accepted", event)


def test_the_ledger_by_hand() -> None:
    ledger = Ledger()
    ledger.add(
        "acme",
        [
            # Half past midnight in Berlin, on the day after its clocks went back.
            _sent(MODEL, "2026-10-25T23:30:00Z", "1", agent="a", model="m", input_tokens="10.0"),
            _sent(MODEL, "2026-10-25T22:59:59.999999Z", "2", agent="a", model="n", input_tokens=5),
            _sent(MODEL, "2026-11-01T05:30:00+05:30", "3", agent="a", model="m", input_tokens="1"),
            _sent(TOOL, "2026-11-01T00:00:00Z", "4", agent="a", tool="t"),
            # A gigabyte for the last ten days of October, then two for the first three of November.
            _sent(STORAGE, "2026-10-22T00:00:00Z", "5", component="c", bytes="1000000000"),
            _sent(STORAGE, "2026-11-01T00:00:00Z", "6", component="c", bytes="2000000000"),
            _sent(STORAGE, "2026-11-04T00:00:00Z", "7", component="c", bytes="0"),
        ],
    )

    def usage(meter: str, window: str, group_by: str | None, zone: str) -> dict[Any, Fraction]:
        return ledger.usage("acme", meter, OCTOBER, DECEMBER, window=window, group_by=group_by, zone=zone)

    assert usage("input_tokens", "day", None, "Europe/Berlin") == {
        (datetime(2026, 10, 24, 22, tzinfo=UTC), None): 5,
        (datetime(2026, 10, 25, 23, tzinfo=UTC), None): 10,
        (datetime(2026, 10, 31, 23, tzinfo=UTC), None): 1,
    }
    assert usage("input_tokens", "month", "model", "UTC") == {
        (OCTOBER, "m"): 10,
        (OCTOBER, "n"): 5,
        (datetime(2026, 11, 1, tzinfo=UTC), "m"): 1,
    }
    assert usage("tool_calls", "hour", "cached", "UTC") == {(datetime(2026, 11, 1, tzinfo=UTC), "false"): 1}
    assert usage("storage_gb_months", "month", None, "UTC") == {
        (OCTOBER, None): round(Fraction(10, 31), 12),
        (datetime(2026, 11, 1, tzinfo=UTC), None): Fraction(2 * 3, 30),
    }
    buckets = {key[2] for key in ledger.rollups()}
    assert datetime(2026, 10, 25, 22, 45, tzinfo=UTC) in buckets
    assert len(ledger.samples()) == 3


def _told(attempts: int, change: dict[str, str]) -> list[Answered]:
    batch = next(STREAM.batches())
    return [Answered(0, attempts, [change.get(each.outcome, each.outcome) for each in batch])]


@pytest.mark.parametrize(
    ("journals", "signs"),
    [
        ([_told(1, {})], []),
        ([_told(2, {"accepted": "duplicate"})], []),
        ([_told(1, {}), _told(1, {"accepted": "duplicate"})], []),
        ([_told(1, {"accepted": "duplicate"})], ["answer: "]),
        ([_told(1, {"accepted": "conflict"})], ["answer: "]),
        ([_told(2, {}), _told(1, {})], ["doubled: "]),
    ],
)
def test_the_judge_knows_which_answers_a_retry_explains(journals: list[Any], signs: list[str]) -> None:
    found = answers_wrong(STREAM, journals)
    assert bool(found) == bool(signs)
    assert all(any(each.startswith(sign) for each in found) for sign in signs), found
