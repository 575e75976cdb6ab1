"""The forecast's rule, case by case, and what always holds for it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budgets.forecast import spend_of
from billing.budgets.thresholds import ACTUAL, FORECAST, Threshold, thresholds_parse, thresholds_read
from billing.period import period_parse
from billing.rating.lines import RatedLine, RatedLines, total_of
from billing.rating.rounding import split_to_cents
from controlplane.core.errors import ValidationFailed

NOVEMBER = period_parse("2026-11")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
CENT = Decimal("0.01")


def _line(meter: str, exact: Decimal, kind: str) -> RatedLine:
    return RatedLine(
        key=meter, meter=meter, description="", unit="", used=Decimal(0), included=Decimal(0), quantity=exact,
        unit_price=Decimal(1), exact=exact, amount=Decimal(0), start=NOVEMBER.start, end=NOVEMBER.end,
        card_key="pro", card_version=1, kind=kind,
    )  # fmt: skip


def _rated(**amounts: str | Decimal) -> RatedLines:
    kinds = {"base_fee": "base_fee", "minimum": "minimum", "maximum": "maximum"}
    drafts = [_line(meter, Decimal(amount), kinds.get(meter, "usage")) for meter, amount in amounts.items()]
    cents = split_to_cents([draft.exact for draft in drafts], CENT)
    lines = tuple(draft.with_amount(amount) for draft, amount in zip(drafts, cents, strict=True))
    return RatedLines("pro", 1, "USD", lines, total_of(lines), ())


def _spend(
    now: RatedLines, at_end: RatedLines, day: int = 11, since: datetime = LONG_AGO
) -> dict[str, Decimal]:
    as_of = datetime(2026, 11, day, tzinfo=UTC)
    return vars(spend_of(now, at_end, period=NOVEMBER, as_of=as_of, since=since)) | {}


def test_fees_count_once_and_in_full() -> None:
    found = _spend(_rated(base_fee="30"), _rated(base_fee="30"))
    assert (found["spent"], found["committed"], found["forecast"], found["run_rate"]) == (30, 30, 30, 0)


def test_what_lasts_goes_on_as_it_is() -> None:
    # 10 days of a GPU at 1 an hour, of 30.
    found = _spend(_rated(gpu_hours="240"), _rated(gpu_hours="720"))
    assert (found["spent"], found["forecast"], found["run_rate"]) == (240, 720, 1)


def test_what_happens_goes_on_at_its_average_pace() -> None:
    # 10 days of 30 gone, 50 spent on tokens.
    found = _spend(_rated(output_tokens="50"), _rated(output_tokens="50"))
    assert (found["forecast"], found["run_rate"]) == (150, 0)


def test_all_kinds_together() -> None:
    now = _rated(base_fee="30", gpu_hours="240", output_tokens="50")
    at_end = _rated(base_fee="30", gpu_hours="720", output_tokens="50")
    found = _spend(now, at_end)
    assert (found["spent"], found["forecast"]) == (320, 30 + 720 + 150)


def test_the_first_day_counts_as_a_whole_one() -> None:
    as_of = NOVEMBER.start + timedelta(hours=1)
    found = spend_of(
        _rated(output_tokens="1"), _rated(output_tokens="1"), period=NOVEMBER, as_of=as_of, since=LONG_AGO
    )
    assert found.forecast == Decimal("30.96"), "1 + 1 for each day of the 719 hours that are left"


def test_a_tenant_of_ten_days_has_ten_days_of_pace() -> None:
    since = datetime(2026, 11, 11, tzinfo=UTC)
    found = _spend(_rated(output_tokens="50"), _rated(output_tokens="50"), day=21, since=since)
    assert found["forecast"] == 100


def test_an_unused_minimum_is_used_up_before_anything_is_added() -> None:
    # 50 used of a minimum of 200; the pace adds 100, which the minimum covers.
    found = _spend(_rated(output_tokens="50", minimum="150"), _rated(output_tokens="50", minimum="150"))
    assert (found["spent"], found["committed"], found["forecast"]) == (200, 150, 200)
    # And what goes beyond it counts: the pace adds 100 to 50 used, 40 of which the minimum covers.
    found = _spend(_rated(output_tokens="50", minimum="40"), _rated(output_tokens="50", minimum="40"))
    assert found["forecast"] == 150


def test_above_a_maximum_that_is_reached_nothing_is_added() -> None:
    now = _rated(output_tokens="50", maximum="-10")
    assert _spend(now, now)["forecast"] == 40


def test_a_number_that_does_not_add_up_over_time_stays() -> None:
    found = _spend(_rated(not_a_meter="50"), _rated(not_a_meter="50"))
    assert found["forecast"] == 50


def test_after_the_period_nothing_is_added() -> None:
    now = _rated(gpu_hours="720", output_tokens="50")
    found = spend_of(now, now, period=NOVEMBER, as_of=NOVEMBER.end + timedelta(days=3), since=LONG_AGO)
    assert (found.spent, found.forecast, found.run_rate) == (770, 770, 0)


@given(
    amounts=st.tuples(*[st.decimals(0, 10**6, places=4) for _ in range(4)]),
    seconds=st.integers(0, 30 * 86400),
)
def test_a_forecast_is_whole_cents_and_never_below_what_is_spent(
    amounts: tuple[Decimal, ...], seconds: int
) -> None:
    fee, gpu, more_gpu, tokens = amounts
    now = _rated(base_fee=fee, gpu_hours=gpu, output_tokens=tokens)
    at_end = _rated(base_fee=fee, gpu_hours=gpu + more_gpu, output_tokens=tokens)
    as_of = NOVEMBER.start + timedelta(seconds=seconds)
    found = spend_of(now, at_end, period=NOVEMBER, as_of=as_of, since=LONG_AGO)
    assert found.forecast >= found.spent == now.total
    assert found.forecast == found.forecast.quantize(CENT)
    assert found.run_rate >= 0


@pytest.mark.parametrize(
    ("value", "reached"), [("79.99", False), ("80", True), ("80.01", True), ("500", True)]
)
def test_a_threshold_is_reached_at_its_percentage(value: str, reached: bool) -> None:
    assert Threshold(Decimal(80), ACTUAL, ("alert",)).reached(Decimal(value), Decimal(100)) is reached


def test_thresholds_come_back_as_they_went() -> None:
    raw = [
        {"percent": "100", "on": "actual", "actions": ["scale_gpu_to_zero", "alert"]},
        {"percent": 80},
        {"percent": "80", "on": "forecast"},
    ]
    found = thresholds_parse(raw)
    assert [each.as_wire() for each in found] == [
        {"percent": "80", "on": ACTUAL, "actions": ["alert"]},
        {"percent": "80", "on": FORECAST, "actions": ["alert"]},
        {"percent": "100", "on": ACTUAL, "actions": ["alert", "scale_gpu_to_zero"]},
    ]
    assert thresholds_read([each.as_wire() for each in found]) == found


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ([], "/thresholds"),
        ([{"percent": "0"}], "/thresholds/0/percent"),
        ([{"percent": "-5"}], "/thresholds/0/percent"),
        ([{"percent": "80.123"}], "/thresholds/0/percent"),
        ([{"percent": 80.5}], "/thresholds/0/percent"),
        ([{"percent": True}], "/thresholds/0/percent"),
        ([{}], "/thresholds/0/percent"),
        ([{"percent": "80", "on": "hope"}], "/thresholds/0/on"),
        ([{"percent": "80", "actions": []}], "/thresholds/0/actions"),
        ([{"percent": "80", "actions": ["delete"]}], "/thresholds/0/actions"),
        ([{"percent": "80"}, {"percent": "80.0"}], "/thresholds/1"),
        ([{"percent": str(n + 1)} for n in range(21)], "/thresholds"),
    ],
)
def test_wrong_thresholds_are_named(raw: list[dict[str, object]], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        thresholds_parse(raw)
    assert pointer in [problem["pointer"] for problem in caught.value.errors]
