"""Minimum and maximum commitments over the whole period, after trials and discounts. Pure.

A commitment holds in the stretches whose card has it, trials left out, and its month's amount counts there by
their share of the period. What these stretches cost is topped up to the minimum on a line of its own, and cut
at the maximum by a negative one. Commitments on some meters come before those on everything, minimums before
maximums; one-off fees count for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing.exact import WIDE, decimal_text, exact_sum
from billing.period import Period
from billing.rating.cards import Commitment
from billing.rating.charging import line_of
from billing.rating.lines import RatedLine
from billing.rating.proration import prorated
from billing.rating.reductions import in_scope, take
from billing.rating.stretches import Stretch


@dataclass
class Reduced:
    """A stretch with its charges, and what discounts left of each."""

    stretch: Stretch
    lines: list[RatedLine]
    left: list[Decimal]


def committed(reduced: Sequence[Reduced], period: Period, *, begun: bool) -> list[RatedLine]:
    """The top-ups and caps. `reduced` is in the order of time; what is topped up is added to its last stretch."""
    if not begun:
        return []
    held: dict[str, list[tuple[Commitment, Reduced]]] = {}
    for each in reduced:
        for commitment in () if each.stretch.trial else each.stretch.card.commitments:
            # Another amount under the same key is another commitment: each counts in its own stretches.
            held.setdefault(commitment.model_dump_json(), []).append((commitment, each))
    ordered = sorted(held.values(), key=lambda group: not group[0][0].meters)
    lines = []
    for group in ordered:
        commitment, within = group[0][0], [each for _, each in group]
        if commitment.minimum is not None:
            lines += _top_up(commitment, commitment.minimum, within, period)
    for group in ordered:
        commitment, within = group[0][0], [each for _, each in group]
        if commitment.maximum is not None:
            lines += _cap(commitment, commitment.maximum, within, period)
    return lines


def _top_up(
    commitment: Commitment, monthly: Decimal, within: Sequence[Reduced], period: Period
) -> list[RatedLine]:
    floor = _over(monthly, within, period)
    lacking = WIDE.subtract(floor, exact_sum(_counting(commitment, within)))
    if lacking <= 0:
        return []
    line = _line(
        commitment, within, f"Minimum of {decimal_text(floor)}, what is lacking", lacking, top_up=True
    )
    within[-1].lines.append(line)
    within[-1].left.append(lacking)
    return [line]


def _cap(
    commitment: Commitment, monthly: Decimal, within: Sequence[Reduced], period: Period
) -> list[RatedLine]:
    ceiling = _over(monthly, within, period)
    excess = WIDE.subtract(exact_sum(_counting(commitment, within)), ceiling)
    if excess <= 0:
        return []
    line = _line(commitment, within, f"Capped at {decimal_text(ceiling)}", excess.copy_negate(), top_up=False)
    for each in within:
        scope = [index for index, own in enumerate(each.lines) if in_scope(commitment.meters, own)]
        before = exact_sum(each.left[index] for index in scope)
        take(each.left, scope, min(before, excess))
        excess = max(WIDE.subtract(excess, before), Decimal(0))
    return [line]


def _over(monthly: Decimal, within: Sequence[Reduced], period: Period) -> Decimal:
    return exact_sum(prorated(monthly, period, each.stretch.start, each.stretch.end) for each in within)


def _counting(commitment: Commitment, within: Sequence[Reduced]) -> list[Decimal]:
    return [
        left
        for each in within
        for line, left in zip(each.lines, each.left, strict=True)
        if in_scope(commitment.meters, line)
    ]


def _line(
    commitment: Commitment, within: Sequence[Reduced], description: str, amount: Decimal, *, top_up: bool
) -> RatedLine:
    on = f" on {', '.join(commitment.meters)}" if commitment.meters else ""
    kind = "minimum" if top_up else "maximum"
    line = line_of(
        within[-1].stretch,
        key=f"{kind} {commitment.key}",
        meter=kind,
        description=description + on,
        unit="commitment",
        quantity=Decimal(1),
        unit_price=amount,
        kind="minimum" if top_up else "maximum",
    )
    return replace(line, start=within[0].stretch.start)
