"""Every price model against arithmetic that knows nothing of it, and money that adds up over any cut."""

import itertools
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.currencies import MINOR_PLACES, minor_unit
from billing.exact import exact_sum, money_text
from billing.metering.totals import MeterTotal
from billing.period import Period, period_parse
from billing.rating.cards import Commitment, Discount, Fee, Overrides, Price, RateCard, Tier, card_with
from billing.rating.lines import REDUCTIONS
from billing.rating.proration import prorated, share_of
from billing.rating.rate import RatedLines, Stretch, rate, rate_stretches, split_to_cents

NOVEMBER = period_parse("2026-11")
FEBRUARY_2028 = period_parse("2028-02")
AS_OF = datetime(2026, 11, 21, tzinfo=UTC)
PERIODS = (NOVEMBER, FEBRUARY_2028, period_parse("2027-03"), period_parse("2027-02"))

small = st.decimals(min_value=0, max_value=50, places=2, allow_nan=False)
money = st.decimals(min_value=0, max_value=10**6, places=4, allow_nan=False)
quantities = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False)
METERS = ("input_tokens", "agent_runs", "gpu_hours")


@st.composite
def tiers(draw: st.DrawFn, bounds: st.SearchStrategy[Any] = quantities) -> list[Tier]:
    ends = sorted(draw(st.sets(bounds.filter(lambda value: value > 0), max_size=4)))
    return [Tier(up_to=end, unit_price=draw(small), flat=draw(small)) for end in (*ends, None)]


@st.composite
def prices(draw: st.DrawFn, meter: str) -> Price:
    model = draw(st.sampled_from(["per_unit", "package", "graduated", "volume"]))
    included = draw(st.one_of(st.just(Decimal(0)), quantities))
    if model in ("per_unit", "package"):
        per = draw(st.sampled_from([1, 10, 1000] if model == "per_unit" else [1, 3, 7, 1000]))
        return Price(meter=meter, model=model, unit_price=draw(money), per=per, included=included)
    return Price(meter=meter, model=model, tiers=draw(tiers()), included=included)


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    scopes = st.sampled_from([(), ("agent_runs",), ("input_tokens", "gpu_hours")])
    discounts = [
        Discount(key=f"d{index}", meters=draw(scopes), **draw(amount))
        for index, amount in enumerate(
            draw(
                st.lists(
                    st.sampled_from(
                        [
                            st.fixed_dictionaries({"percent": st.integers(0, 100)}),
                            st.fixed_dictionaries({"amount": money}),
                        ]
                    ),
                    max_size=3,
                )
            )
        )
    ]
    commitments = []
    for index in range(draw(st.integers(0, 2))):
        low, high = sorted([draw(money), draw(money)])
        commitments.append(
            Commitment(
                key=f"c{index}",
                meters=draw(scopes),
                minimum=low,
                maximum=draw(st.one_of(st.none(), st.just(high))),
            )
        )
    return RateCard(
        key="k",
        version=1,
        currency=draw(st.sampled_from(["USD", "EUR", "JPY", "KWD"])),
        base_fee=draw(money),
        fees=[Fee(key="setup", description="Set-up", amount=draw(money), one_off=True)],
        prices=[draw(prices(meter)) for meter in METERS],
        discounts=discounts,
        commitments=commitments,
    )


usages = st.lists(
    st.builds(
        MeterTotal, meter=st.sampled_from(METERS), dimensions=st.just((("agent", "a"),)), value=quantities
    ),
    max_size=6,
)
seconds = st.integers(0, int((NOVEMBER.end - NOVEMBER.start).total_seconds()))


@st.composite
def stretched(draw: st.DrawFn) -> list[Stretch]:
    """November in one to four stretches of two cards in one currency, trials and openings among them."""
    first = draw(cards())
    second = draw(cards()).model_copy(update={"currency": first.currency, "version": 2})
    cuts = sorted(draw(st.sets(seconds, max_size=3)) - {0})
    edges = [NOVEMBER.start, *(NOVEMBER.start + timedelta(seconds=cut) for cut in cuts), NOVEMBER.end]
    pairs = [pair for pair in itertools.pairwise(edges) if pair[0] < pair[1]]
    return [
        Stretch(
            start,
            end,
            draw(st.sampled_from([first, second])),
            tuple(draw(usages)),
            trial=draw(st.integers(0, 3)) == 0,
            opens=draw(st.booleans()),
        )
        for start, end in pairs
    ]


@settings(deadline=None)
@given(stretched())
def test_lines_of_any_contract_add_up_to_the_total_rounded_once(stretches: list[Stretch]) -> None:
    rated = rate_stretches(stretches, NOVEMBER, AS_OF)
    unit = Fraction(minor_unit(rated.currency))
    exact = sum((Fraction(line.exact) for line in rated.lines), Fraction(0))
    assert Fraction(rated.total) == ((exact / unit + Fraction(1, 2)) // 1) * unit
    assert exact_sum(line.amount for line in rated.lines) == rated.total >= 0
    assert len({line.key for line in rated.lines}) == len(rated.lines)
    for line in rated.lines:
        assert abs(Fraction(line.amount) - Fraction(line.exact)) < unit
        if line.parts:
            assert sum(Fraction(part.exact) for part in line.parts) == Fraction(line.exact)
        else:
            assert Fraction(line.quantity) * Fraction(line.unit_price) == Fraction(line.exact)
        money_text(line.amount, rated.currency)


@settings(deadline=None)
@given(stretched())
def test_only_reductions_are_negative_and_never_more_than_the_charges(stretches: list[Stretch]) -> None:
    rated = rate_stretches(stretches, NOVEMBER, AS_OF)
    for line in rated.lines:
        assert line.exact <= 0 if line.kind in REDUCTIONS else line.exact >= 0, line


@settings(deadline=None)
@given(stretched())
def test_no_number_of_any_contract_is_a_float(stretches: list[Stretch]) -> None:
    def numbers(value: Any) -> Any:
        if is_dataclass(value):
            for field in fields(value):
                yield from numbers(getattr(value, field.name))
        elif isinstance(value, tuple):
            for item in value:
                yield from numbers(item)
        else:
            yield value

    rated = rate_stretches(stretches, NOVEMBER, AS_OF)
    assert not [value for value in numbers(rated) if isinstance(value, float)]


@settings(deadline=None)
@given(stretched(), st.randoms())
def test_order_of_usage_does_not_matter_to_any_contract(stretches: list[Stretch], random: Any) -> None:
    def shuffled(stretch: Stretch) -> Stretch:
        usage = list(stretch.usage)
        random.shuffle(usage)
        return Stretch(stretch.start, stretch.end, stretch.card, tuple(usage), stretch.trial, stretch.opens)

    again = [shuffled(stretch) for stretch in stretches]
    assert rate_stretches(again, NOVEMBER, AS_OF) == rate_stretches(stretches, NOVEMBER, AS_OF)


def _line(price: Price, used: Decimal | int, period: Period = NOVEMBER) -> Any:
    card = RateCard(key="k", version=1, base_fee=0, prices=[price])
    return rate(card, [MeterTotal(price.meter, (), Decimal(used))], period, AS_OF).lines[1]


def _unit_by_unit(price: Price, used: int) -> Fraction:
    """Graduated, the slow way: look up each single unit's tier."""
    cost, touched = Fraction(0), set()
    for unit in range(1, used - int(price.included) + 1):
        index = next(i for i, tier in enumerate(price.tiers) if tier.up_to is None or unit <= tier.up_to)
        cost += Fraction(price.tiers[index].unit_price) / Fraction(price.per)
        touched.add(index)
    return cost + sum((Fraction(price.tiers[index].flat) for index in touched), Fraction(0))


def _all_at_once(price: Price, used: int) -> Fraction:
    """Volume, the slow way: walk up to the tier of the last unit, then count every unit at its price."""
    units = range(1, used - int(price.included) + 1)
    if not units:
        return Fraction(0)
    index = 0
    for unit in units:
        bound = price.tiers[index].up_to
        if bound is not None and unit > bound:
            index += 1
    tier = price.tiers[index]
    return sum((Fraction(tier.unit_price) / Fraction(price.per) for _ in units), Fraction(tier.flat))


@settings(deadline=None)
@given(tiers(st.integers(1, 120)), st.integers(0, 200), st.integers(0, 40), st.sampled_from([1, 10, 100]))
def test_tiers_cost_what_counting_unit_by_unit_costs(
    table: list[Tier], used: int, included: int, per: int
) -> None:
    for model, slow in (("graduated", _unit_by_unit), ("volume", _all_at_once)):
        price = Price.model_validate(
            {"meter": "agent_runs", "model": model, "tiers": table, "included": included, "per": per}
        )
        assert Fraction(_line(price, used).exact) == slow(price, used)


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(1, 999), st.integers(0, 50))
def test_a_begun_package_is_charged_whole(used: int, size: int, included: int) -> None:
    price = Price(meter="agent_runs", model="package", unit_price="3", per=size, included=included)
    opened, left = 0, max(used - included, 0)
    while left > 0:
        opened, left = opened + 1, left - size
    line = _line(price, used)
    assert (line.quantity, line.exact) == (opened, 3 * opened)
    assert line.unit == f"package of {size} runs"


cuts = st.lists(st.integers(0, 31 * 86_400), max_size=6)


@settings(deadline=None)
@given(st.sampled_from(PERIODS), cuts, money)
def test_prorated_parts_add_up_to_the_whole_over_any_cut(
    period: Period, at: list[int], whole: Decimal
) -> None:
    edges = [period.start, *(period.start + timedelta(seconds=cut) for cut in sorted(at)), period.end]
    pairs = list(itertools.pairwise(edges))
    assert exact_sum(prorated(whole, period, *pair) for pair in pairs) == whole
    assert exact_sum(share_of(period, *pair) for pair in pairs) == 1


@settings(deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sampled_from([(2027, 3), (2026, 10), (2027, 4), (2026, 11), (2028, 2)]),
    cuts,
)
def test_proration_counts_elapsed_seconds_where_clocks_jump(
    zone: str, month: tuple[int, int], at: list[int]
) -> None:
    year, number = month
    local = ZoneInfo(zone)
    start = datetime(year, number, 1, tzinfo=local)
    period = Period(start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=local))
    begin = start.astimezone(UTC)
    length = (period.end.astimezone(UTC) - begin) // timedelta(seconds=1)
    moments = sorted({min(second, length) for second in at})
    edges = [
        period.start,
        *((begin + timedelta(seconds=second)).astimezone(local) for second in moments),
        period.end,
    ]
    parts = [share_of(period, *pair) for pair in itertools.pairwise(edges)]
    assert exact_sum(parts) == 1
    offsets = [0, *moments, length]
    for part, (first, last) in zip(parts, itertools.pairwise(offsets), strict=True):
        assert abs(Fraction(part) - Fraction(last - first, length)) <= Fraction(1, 10**12)


def test_a_leap_day_is_a_twenty_ninth_of_its_month() -> None:
    day = datetime(2028, 2, 29, tzinfo=UTC)
    share = share_of(FEBRUARY_2028, day, day + timedelta(days=1))
    assert abs(Fraction(share) - Fraction(1, 29)) <= Fraction(1, 10**12)
    assert prorated(Decimal(29), FEBRUARY_2028, day, day + timedelta(days=1)) == 1


@settings(deadline=None)
@given(cards(), usages, st.lists(seconds, max_size=3))
def test_a_cut_between_equal_terms_changes_no_fee(
    card: RateCard, usage: list[MeterTotal], at: list[int]
) -> None:
    """Fees, allowances and commitments of the pieces are those of the whole."""
    plain = card.model_copy(update={"prices": (), "discounts": ()})
    edges = [
        NOVEMBER.start,
        *sorted(NOVEMBER.start + timedelta(seconds=each) for each in set(at)),
        NOVEMBER.end,
    ]
    pieces = [Stretch(*pair, plain) for pair in itertools.pairwise(edges) if pair[0] < pair[1]]
    whole = rate(plain, usage, NOVEMBER, AS_OF)
    assert rate_stretches(pieces, NOVEMBER, AS_OF).total == whole.total


@settings(deadline=None)
@given(st.lists(st.decimals(min_value=-(10**9), max_value=10**9, places=6), max_size=20))
def test_whole_units_are_dealt_out_with_negative_lines_too(exact: list[Decimal]) -> None:
    for places in (0, 2, 3):
        unit = Decimal(1).scaleb(-places)
        dealt = split_to_cents(exact, unit)
        total = sum((Fraction(amount) for amount in exact), Fraction(0))
        assert abs(Fraction(exact_sum(dealt)) - total) <= Fraction(unit) / 2
        for amount, cents in zip(exact, dealt, strict=True):
            assert abs(Fraction(cents) - Fraction(amount)) < Fraction(unit)
            assert cents == cents.quantize(unit)


def _lines(card: RateCard, *usage: tuple[str, int], trial: bool = False) -> RatedLines:
    totals = tuple(MeterTotal(meter, (), Decimal(value)) for meter, value in usage)
    return rate_stretches([Stretch(NOVEMBER.start, NOVEMBER.end, card, totals, trial)], NOVEMBER, AS_OF)


def _card(**fields: Any) -> RateCard:
    usual = {
        "key": "k",
        "version": 1,
        "base_fee": "100",
        "prices": [{"meter": "agent_runs", "unit_price": "1"}],
    }
    return RateCard.model_validate({**usual, **fields})


def _amounts(rated: RatedLines) -> dict[str, str]:
    return {line.key: money_text(line.amount, rated.currency) for line in rated.lines}


def test_discounts_apply_in_their_order_each_to_what_is_left() -> None:
    card = _card(
        discounts=[
            {"key": "runs", "percent": "50", "meters": ["agent_runs"]},
            {"key": "fixed", "amount": "30"},
            {"key": "loyal", "percent": "10"},
        ]
    )
    assert _amounts(_lines(card, ("agent_runs", 40))) == {
        "base_fee": "100.00",
        "agent_runs": "40.00",
        "discount runs": "-20.00",
        "discount fixed": "-30.00",
        "discount loyal": "-9.00",
    }


def test_a_fixed_discount_takes_no_more_than_there_is() -> None:
    card = _card(base_fee="0", discounts=[{"key": "gift", "amount": "30"}])
    assert _amounts(_lines(card, ("agent_runs", 12)))["discount gift"] == "-12.00"
    assert _lines(card).total == 0


def test_a_minimum_is_topped_up_after_discounts_and_a_maximum_caps() -> None:
    card = _card(
        discounts=[{"key": "loyal", "percent": "10"}],
        commitments=[{"key": "spend", "minimum": "200", "maximum": "300"}],
    )
    assert _amounts(_lines(card, ("agent_runs", 50)))["minimum spend"] == "65.00"
    assert not {"minimum spend", "maximum spend"} & set(_amounts(_lines(card, ("agent_runs", 150))))
    capped = _lines(card, ("agent_runs", 1000))
    assert (_amounts(capped)["maximum spend"], capped.total) == ("-690.00", Decimal(300))


def test_a_commitment_on_a_meter_looks_at_that_meter_alone() -> None:
    card = _card(
        commitments=[
            {"key": "runs", "minimum": "80", "meters": ["agent_runs"]},
            {"key": "all", "minimum": "190"},
        ]
    )
    rated = _amounts(_lines(card, ("agent_runs", 50)))
    assert (rated["minimum runs"], rated["minimum all"]) == ("30.00", "10.00")


def test_a_trial_takes_everything_but_one_off_fees() -> None:
    card = _card(
        fees=[
            {"key": "support", "description": "Support", "amount": "20"},
            {"key": "setup", "description": "Set-up", "amount": "70", "one_off": True},
        ],
        commitments=[{"key": "spend", "minimum": "500"}],
    )
    stretch = Stretch(
        NOVEMBER.start, NOVEMBER.end, card, (MeterTotal("agent_runs", (), Decimal(5)),), True, True
    )
    rated = rate_stretches([stretch], NOVEMBER, AS_OF)
    assert _amounts(rated) == {
        "base_fee": "100.00",
        "fee support": "20.00",
        "fee setup": "70.00",
        "agent_runs": "5.00",
        "trial": "-125.00",
    }


def test_a_commitment_over_two_stretches_is_topped_up_once() -> None:
    """Spending much in one half and nothing in the other meets a minimum over the month."""
    card = _card(base_fee="0", commitments=[{"key": "spend", "minimum": "100"}])
    middle = datetime(2026, 11, 16, tzinfo=UTC)
    other = card.model_copy(update={"version": 2})
    for runs, topped_up in ((100, None), (60, "40.00")):
        usage = (MeterTotal("agent_runs", (), Decimal(runs)),)
        rated = rate_stretches(
            [Stretch(NOVEMBER.start, middle, card, usage), Stretch(middle, NOVEMBER.end, other)],
            NOVEMBER,
            AS_OF,
        )
        assert _amounts(rated).get("minimum spend") == topped_up


def test_a_period_that_has_not_begun_owes_nothing() -> None:
    card = _card(commitments=[{"key": "spend", "minimum": "500"}])
    before = NOVEMBER.start - timedelta(seconds=1)
    assert (
        rate_stretches([Stretch(NOVEMBER.start, NOVEMBER.end, card, opens=True)], NOVEMBER, before).total == 0
    )


def test_stretches_of_two_currencies_are_refused() -> None:
    middle = datetime(2026, 11, 16, tzinfo=UTC)
    with pytest.raises(ValueError, match="EUR, USD"):
        rate_stretches(
            [
                Stretch(NOVEMBER.start, middle, _card()),
                Stretch(middle, NOVEMBER.end, _card(currency="EUR")),
            ],
            NOVEMBER,
            AS_OF,
        )


@pytest.mark.parametrize(("currency", "total"), [("JPY", "10"), ("USD", "10.46"), ("KWD", "10.457")])
def test_a_total_has_the_places_of_its_currency(currency: str, total: str) -> None:
    rated = _lines(_card(currency=currency, base_fee="10.4567", prices=[]))
    assert money_text(rated.total, currency) == total


def test_the_table_of_currencies_knows_the_minor_units() -> None:
    places = {code: MINOR_PLACES[code] for code in ("USD", "EUR", "JPY", "KRW", "KWD", "BHD", "ISK")}
    assert places == {"USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3, "ISK": 0}
    with pytest.raises(ValidationError, match="not a currency"):
        _card(currency="XXX")


@pytest.mark.parametrize(
    "price",
    [
        {"model": "per_unit"},
        {"model": "per_unit", "unit_price": "1", "tiers": [{"unit_price": "1"}]},
        {"model": "package", "unit_price": "1", "per": "0"},
        {"model": "package", "unit_price": "1", "per": "1.5"},
        {"model": "graduated"},
        {"model": "graduated", "tiers": [{"up_to": "5"}]},
        {"model": "graduated", "tiers": [{"up_to": "5"}, {"up_to": "5"}, {}]},
        {"model": "volume", "tiers": [{"up_to": "0"}, {}]},
        {"model": "volume", "tiers": [{}, {}]},
        {"model": "volume", "unit_price": "1", "tiers": [{}]},
    ],
)
def test_a_price_that_makes_no_sense_is_refused(price: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({"meter": "agent_runs", **price})


@pytest.mark.parametrize(
    "fields",
    [
        {"discounts": [{"key": "a"}]},
        {"discounts": [{"key": "a", "percent": "1", "amount": "1"}]},
        {"discounts": [{"key": "a", "percent": "101"}]},
        {"discounts": [{"key": "a", "percent": "1", "meters": ["nope"]}]},
        {"discounts": [{"key": "a", "percent": "1"}, {"key": "a", "percent": "2"}]},
        {"commitments": [{"key": "a"}]},
        {"commitments": [{"key": "a", "minimum": "2", "maximum": "1"}]},
        {"fees": [{"key": "a", "description": "A", "amount": 0.5}]},
    ],
)
def test_terms_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _card(**fields)


def test_a_contract_overrides_prices_and_adds_to_the_card() -> None:
    card = _card(
        prices=[
            {"meter": "input_tokens", "unit_price": "3", "match": {"model": "large"}},
            {"meter": "input_tokens", "unit_price": "1"},
        ],
        discounts=[{"key": "loyal", "percent": "5"}],
    )
    contract = Overrides.model_validate(
        {
            "base_fee": "0",
            "prices": [
                {"meter": "input_tokens", "unit_price": "2"},
                {"meter": "input_tokens", "unit_price": "9", "match": {"agent": "a"}},
                {"meter": "gpu_hours", "unit_price": "4"},
            ],
            "discounts": [{"key": "loyal", "percent": "7"}, {"key": "new", "amount": "1"}],
        }
    )
    made = card_with(card, contract)
    assert [(price.key, int(price.unit_price)) for price in made.prices] == [
        ('input_tokens {"model": "large"}', 3),
        ('input_tokens {"agent": "a"}', 9),
        ("input_tokens", 2),
        ("gpu_hours", 4),
    ]
    assert [(discount.key, discount.percent) for discount in made.discounts] == [("loyal", 7), ("new", None)]
    assert (made.base_fee, made.key, made.version) == (0, card.key, card.version)
    assert card_with(card, Overrides()) == card
