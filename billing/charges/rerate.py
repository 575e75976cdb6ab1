"""Rating a period again by other terms, beside what it costs now: a dry run that stores nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from billing.charges.cuts import Cut
from billing.charges.selectors import stretches_of, terms_of
from billing.customer import Customer
from billing.exact import WIDE, money_text
from billing.period import Period
from billing.rating.cards import Overrides, RateCard, card_with
from billing.rating.rate import RatedLine, RatedLines, rate_stretches
from controlplane.core.clock import moment_text
from controlplane.core.errors import ValidationFailed


class LineDiff(TypedDict):
    """`before` and `after` are null where the line is not there; `difference` is after less before."""

    key: str
    description: str
    before: str | None
    after: str | None
    difference: str


class RerateDiff(TypedDict):
    """Lines of the present terms first, in their order, then those that the other terms add. Money as text."""

    period: dict[str, str]
    as_of: str
    currency: str
    lines: list[LineDiff]
    total_before: str
    total_after: str
    difference: str


@dataclass(frozen=True)
class _Pair:
    key: str
    description: str
    before: Decimal | None
    after: Decimal | None

    @property
    def difference(self) -> Decimal:
        return WIDE.subtract(self.after or Decimal(0), self.before or Decimal(0))


def rerate(
    *,
    customer: Customer,
    period: Period,
    as_of: datetime,
    with_card: RateCard | None = None,
    with_override: Overrides | None = None,
    known_at: datetime | None = None,
    fallback: RateCard | None = None,
) -> RerateDiff:
    """What the period would cost with `with_card` throughout, or with `with_override` on top of the terms it has.

    Raises ValidationFailed naming `rate_card` for one in another currency, `overrides` where these do not fit.
    """
    cuts = terms_of(customer=customer, known_at=known_at, fallback=fallback).cuts(period)
    cards = [_card(cut, with_card, with_override) for cut in cuts]
    now = stretches_of(
        customer=customer, period=period, cuts=cuts, as_of=as_of, known_at=known_at, further=cards
    )
    other = [replace(stretch, card=card) for stretch, card in zip(now, cards, strict=True)]
    before = rate_stretches(now, period, as_of)
    return _diff(period, as_of, before, rate_stretches(other, period, as_of))


def _card(cut: Cut, with_card: RateCard | None, with_override: Overrides | None) -> RateCard:
    card = with_card or cut.card
    if card.currency != cut.card.currency:
        raise ValidationFailed.of(
            "rate_card", f"is in {card.currency}, and the tenant is billed in {cut.card.currency}"
        )
    try:
        return card if with_override is None else card_with(card, with_override)
    except ValueError as error:
        raise ValidationFailed.of("overrides", f"do not fit the rate card {card.key}: {error}") from error


def _diff(period: Period, as_of: datetime, before: RatedLines, after: RatedLines) -> RerateDiff:
    currency = before.currency
    return RerateDiff(
        period=period.as_wire(),
        as_of=moment_text(as_of),
        currency=currency,
        lines=[
            LineDiff(
                key=pair.key,
                description=pair.description,
                before=None if pair.before is None else money_text(pair.before, currency),
                after=None if pair.after is None else money_text(pair.after, currency),
                difference=money_text(pair.difference, currency),
            )
            for pair in _pairs(before.lines, after.lines)
        ],
        total_before=money_text(before.total, currency),
        total_after=money_text(after.total, currency),
        difference=money_text(WIDE.subtract(after.total, before.total), currency),
    )


def _pairs(before: Sequence[RatedLine], after: Sequence[RatedLine]) -> list[_Pair]:
    old = {line.key: line for line in before}
    new = {line.key: line for line in after}
    return [
        _Pair(
            key,
            (new.get(key) or old[key]).description,
            old[key].amount if key in old else None,
            new[key].amount if key in new else None,
        )
        for key in dict.fromkeys([*old, *new])
    ]
