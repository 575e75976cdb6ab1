"""Rates a period: its stretches' usage and fees by their cards, to lines that add up to the total.

The order is fixed: charges, then trials and discounts for each stretch, then commitments over the period.
Amounts are exact until the very end, where billing.rating.rounding deals out whole minor units.

Fees run by the second while the agreement does (billing.rating.proration). A preview, `as_of` within the
period, shows the fees as the final invoice will; only usage grows until then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from billing.currencies import minor_unit
from billing.metering.totals import MeterTotal
from billing.period import Period
from billing.rating.cards import RateCard
from billing.rating.charging import charged, key_in
from billing.rating.commitments import Reduced, committed
from billing.rating.lines import BASE_FEE, RatedLine, RatedLines, Segment, TierPart, total_of
from billing.rating.reductions import reduced
from billing.rating.rounding import split_to_cents
from billing.rating.stretches import Stretch

__all__ = [
    "BASE_FEE",
    "RatedLine",
    "RatedLines",
    "Segment",
    "Stretch",
    "TierPart",
    "rate",
    "rate_stretches",
    "split_to_cents",
]


def rate(
    card: RateCard,
    usage: Iterable[MeterTotal],
    period: Period,
    as_of: datetime,
    since: datetime | None = None,
) -> RatedLines:
    """The period under one card throughout. `since` is when the tenant began (None: earlier)."""
    begins = min(max(period.start, since), period.end) if since else period.start
    return rate_stretches([Stretch(begins, period.end, card, tuple(usage))], period, as_of)


def rate_stretches(stretches: Sequence[Stretch], period: Period, as_of: datetime) -> RatedLines:
    """`stretches` (at least one) lie in the period, in the order of time, with all cards in one currency;
    `usage` is what was measured at `as_of`. A period that has not begun then owes no fees yet."""
    currencies = {stretch.card.currency for stretch in stretches}
    if len(currencies) != 1:
        raise ValueError(f"one period cannot be billed in {', '.join(sorted(currencies)) or 'no currency'}")
    begun = as_of >= period.start
    lines: list[RatedLine] = []
    left = []
    for index, stretch in enumerate(stretches):
        own = [
            replace(line, key=key_in(stretch, line.key, first=not index))
            for line in charged(stretch, period, begun=begun)
        ]
        remaining = [line.exact for line in own]
        lines += own
        lines += [
            replace(line, key=key_in(stretch, line.key, first=not index))
            for line in reduced(stretch, period, own, remaining, begun=begun)
        ]
        left.append(Reduced(stretch, own, remaining))
    lines += _distinct(committed(left, period, begun=begun))
    unit = minor_unit(currencies.pop())
    amounts = split_to_cents([line.exact for line in lines], unit)
    dealt = tuple(line.with_amount(amount) for line, amount in zip(lines, amounts, strict=True))
    last = stretches[-1].card
    segments = tuple(Segment(s.start, s.end, s.card.key, s.card.version) for s in stretches)
    cards = [stretch.card for stretch in stretches]
    distinct = tuple(card for index, card in enumerate(cards) if card not in cards[:index])
    return RatedLines(last.key, last.version, last.currency, dealt, total_of(dealt), segments, distinct)


def _distinct(lines: Sequence[RatedLine]) -> list[RatedLine]:
    """Commitments of one key that changed in the period: the later ones' keys name their place."""
    seen: dict[str, int] = {}
    found = []
    for line in lines:
        seen[line.key] = seen.get(line.key, 0) + 1
        found.append(line if seen[line.key] == 1 else replace(line, key=f"{line.key} {seen[line.key]}"))
    return found
