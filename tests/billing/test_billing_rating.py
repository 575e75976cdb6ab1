"""Rating is pure: money adds up, never shrinks with usage, and never was a float."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.exact import decimal_text, exact_sum, money_text
from billing.metering.catalogue import METERS
from billing.metering.totals import MeterTotal
from billing.period import period_parse
from billing.rating.cards import Price, RateCard
from billing.rating.rate import BASE_FEE, rate, split_to_cents
from controlplane.core.errors import ValidationFailed

NOVEMBER = period_parse("2026-11")
AS_OF = datetime(2026, 11, 21, tzinfo=UTC)

amounts = st.decimals(min_value=0, max_value=10**12, places=12, allow_nan=False)
quantities = st.decimals(min_value=0, max_value=10**17, places=12, allow_nan=False)
meters = st.sampled_from(sorted(METERS))


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    keys = draw(st.lists(meters, unique=True))
    prices = [
        Price(
            meter=key,
            unit_price=draw(amounts),
            per=10 ** draw(st.integers(0, 9)),
            included=draw(st.one_of(st.just(Decimal(0)), quantities)),
        )
        for key in keys
    ]
    return RateCard(key="k", version=1, base_fee=draw(amounts), prices=prices)


usages = st.lists(
    st.builds(MeterTotal, meter=meters, dimensions=st.just((("agent", "a"),)), value=quantities), max_size=8
)


@given(cards(), usages)
def test_lines_add_up_to_the_exact_sum_rounded_once(card: RateCard, usage: list[MeterTotal]) -> None:
    rated = rate(card, usage, NOVEMBER, AS_OF)
    exact = sum((Fraction(line.exact) for line in rated.lines), Fraction(0))
    cents = int(exact * 100 + Fraction(1, 2))
    assert Fraction(rated.total) == Fraction(cents, 100)
    assert exact_sum(line.amount for line in rated.lines) == rated.total
    for line in rated.lines:
        assert abs(Fraction(line.amount) - Fraction(line.exact)) < Fraction(1, 100)
        assert Fraction(line.quantity) * Fraction(line.unit_price) == Fraction(line.exact)


@given(cards(), usages)
def test_nothing_is_a_float(card: RateCard, usage: list[MeterTotal]) -> None:
    rated = rate(card, usage, NOVEMBER, AS_OF, datetime(2026, 11, 3, 5, tzinfo=UTC))
    values = [rated.total, *(getattr(line, field.name) for line in rated.lines for field in fields(line))]
    assert not [value for value in values if isinstance(value, float)]


@given(cards(), usages, usages)
def test_more_usage_never_costs_less(card: RateCard, usage: list[MeterTotal], more: list[MeterTotal]) -> None:
    assert rate(card, usage + more, NOVEMBER, AS_OF).total >= rate(card, usage, NOVEMBER, AS_OF).total


@given(cards(), usages, st.randoms())
def test_order_of_usage_does_not_matter(card: RateCard, usage: list[MeterTotal], random: object) -> None:
    shuffled = list(usage)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rate(card, usage, NOVEMBER, AS_OF) == rate(card, shuffled, NOVEMBER, AS_OF)


@given(st.lists(amounts, max_size=30))
def test_cents_are_dealt_to_the_largest_remainders(exact: list[Decimal]) -> None:
    cents = split_to_cents(exact)
    total = exact_sum(exact).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    assert exact_sum(cents) == total
    for amount, dealt in zip(exact, cents, strict=True):
        assert dealt >= 0
        if amount == amount.quantize(Decimal("0.01")):
            assert dealt == amount


def test_a_tie_of_remainders_goes_to_the_earlier_line() -> None:
    assert split_to_cents([Decimal("0.005"), Decimal("0.005")]) == [Decimal("0.01"), Decimal("0.00")]


def test_each_unit_is_charged_by_the_first_price_that_matches() -> None:
    card = RateCard(
        key="k",
        version=1,
        base_fee="10",
        prices=[
            Price(meter="input_tokens", unit_price="2", match={"model": "large"}),
            Price(meter="input_tokens", unit_price="1"),
        ],
    )
    usage = [
        MeterTotal("input_tokens", (("model", "large"),), Decimal(3)),
        MeterTotal("input_tokens", (("model", "small"),), Decimal(5)),
        MeterTotal("output_tokens", (("model", "small"),), Decimal(100)),
    ]
    rated = rate(card, usage, NOVEMBER, AS_OF)
    assert [line.amount for line in rated.lines] == [Decimal(10), Decimal(6), Decimal(5)]


def test_the_allowance_is_free_and_still_shown() -> None:
    card = RateCard(
        key="k", version=1, base_fee=0, prices=[Price(meter="agent_runs", unit_price="0.1", included="10")]
    )
    for used, amount in ((9, "0.00"), (10, "0.00"), (11, "0.10")):
        line = rate(card, [MeterTotal("agent_runs", (), Decimal(used))], NOVEMBER, AS_OF).lines[1]
        assert (line.used, line.included, line.amount) == (Decimal(used), Decimal(10), Decimal(amount))


@pytest.mark.parametrize(
    ("since", "as_of", "amount"),
    [
        (None, AS_OF, "30.00"),
        (datetime(2025, 5, 1, tzinfo=UTC), AS_OF, "30.00"),
        (datetime(2026, 11, 16, tzinfo=UTC), AS_OF, "15.00"),
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), NOVEMBER.end, "0.00"),
        (datetime(2026, 12, 1, tzinfo=UTC), AS_OF, "0.00"),
        (None, NOVEMBER.start - timedelta(seconds=1), "0.00"),
    ],
)
def test_the_base_fee_runs_from_the_tenants_beginning(
    since: datetime | None, as_of: datetime, amount: str
) -> None:
    card = RateCard(key="k", version=1, base_fee="30")
    (line,) = rate(card, [], NOVEMBER, as_of, since).lines
    assert (line.meter, line.amount) == (BASE_FEE, Decimal(amount))


@pytest.mark.parametrize(
    "price",
    [
        {"meter": "no_such", "unit_price": "1"},
        {"meter": "agent_runs", "unit_price": 0.1},
        {"meter": "agent_runs", "unit_price": "-1"},
        {"meter": "agent_runs", "unit_price": "1", "per": 3},
        {"meter": "agent_runs", "unit_price": "1", "per": "0"},
        {"meter": "agent_runs", "unit_price": "1", "per": "0.1"},
        {"meter": "agent_runs", "unit_price": "1", "match": {"model": "x"}},
    ],
)
def test_a_wrong_price_is_refused(price: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RateCard.model_validate({"key": "k", "version": 1, "base_fee": "0", "prices": [price]})


def test_a_price_that_is_never_reached_is_refused() -> None:
    prices = [
        {"meter": "agent_runs", "unit_price": "1"},
        {"meter": "agent_runs", "unit_price": "2", "match": {"agent": "x"}},
    ]
    with pytest.raises(ValidationError, match="never reached"):
        RateCard.model_validate({"key": "k", "version": 1, "base_fee": "0", "prices": prices})


def test_a_card_survives_json(card: RateCard) -> None:
    assert RateCard.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-1", "", "2026-11-01", "\u0662026-11", "0000-01", "9999-01"]
)
def test_a_period_is_a_month(text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        period_parse(text)
    assert caught.value.errors[0]["pointer"] == "/period"


def test_december_ends_in_the_next_year() -> None:
    assert period_parse("2026-12").end == datetime(2027, 1, 1, tzinfo=UTC)


def test_wire_text_is_plain_and_exact() -> None:
    assert decimal_text(Decimal("123456789012345678901234567890.100")) == "123456789012345678901234567890.1"
    assert [decimal_text(Decimal(text)) for text in ("0", "-0", "100", "1E+3", "0.000")] == [
        "0", "0", "100", "1000", "0",
    ]  # fmt: skip
    with pytest.raises(ArithmeticError):
        money_text(Decimal("0.001"))
