"""Free trials and discounts: negative lines of one stretch. Pure.

A trial takes everything but one-off fees. Otherwise discounts apply in the card's order, each to what the ones
before it left; none makes a charge negative.
"""

from collections.abc import Sequence
from decimal import Decimal

from billing.exact import WIDE, decimal_text, exact_product, exact_sum
from billing.period import Period
from billing.rating.cards import Discount
from billing.rating.charging import line_of
from billing.rating.lines import RatedLine
from billing.rating.proration import prorated
from billing.rating.stretches import Stretch


def reduced(
    stretch: Stretch, period: Period, lines: Sequence[RatedLine], left: list[Decimal], *, begun: bool
) -> list[RatedLine]:
    """The negative lines for `lines`. `left` holds the lines' exact amounts, and is lowered by what they take."""
    if stretch.trial:
        return _trial(stretch, lines, left)
    found = []
    for discount in stretch.card.discounts:
        scope = [index for index, line in enumerate(lines) if in_scope(discount.meters, line)]
        due = exact_sum(left[index] for index in scope)
        if not due:
            continue
        if discount.percent is not None:
            found.append(_percent(stretch, discount, discount.percent, due))
            keep = WIDE.divide(WIDE.subtract(Decimal(100), discount.percent), Decimal(100))
            for index in scope:
                left[index] = exact_product(left[index], keep)
        elif begun and discount.amount is not None:
            whole = prorated(discount.amount, period, stretch.start, stretch.end)
            taken = min(whole, due)
            found.append(_line(stretch, discount, Decimal(1), "discount", taken.copy_negate()))
            take(left, scope, taken)
    return found


def in_scope(meters: Sequence[str], line: RatedLine) -> bool:
    """Without meters everything but one-off fees is meant."""
    return line.meter in meters if meters else line.kind != "one_off"


def take(left: list[Decimal], scope: Sequence[int], amount: Decimal) -> None:
    """Lowers amounts in their order until `amount` is taken."""
    for index in scope:
        part = min(left[index], amount)
        left[index] = WIDE.subtract(left[index], part)
        amount = WIDE.subtract(amount, part)


def _trial(stretch: Stretch, lines: Sequence[RatedLine], left: list[Decimal]) -> list[RatedLine]:
    scope = [index for index, line in enumerate(lines) if in_scope((), line)]
    due = exact_sum(left[index] for index in scope)
    if not due:
        return []
    take(left, scope, due)
    return [
        line_of(
            stretch,
            key="trial",
            meter="trial",
            description="Free trial",
            unit="trial",
            quantity=Decimal(1),
            unit_price=due.copy_negate(),
            kind="trial",
        )
    ]


def _percent(stretch: Stretch, discount: Discount, percent: Decimal, due: Decimal) -> RatedLine:
    rate = WIDE.divide(percent, Decimal(100)).copy_negate()
    name = discount.description or f"Discount of {decimal_text(percent)} %"
    return _line(stretch, discount, due, stretch.card.currency, rate, name)


def _line(
    stretch: Stretch, discount: Discount, quantity: Decimal, unit: str, price: Decimal, name: str = ""
) -> RatedLine:
    on = f" on {', '.join(discount.meters)}" if discount.meters and not discount.description else ""
    return line_of(
        stretch,
        key=f"discount {discount.key}",
        meter="discount",
        description=(name or discount.description or "Discount") + on,
        unit=unit,
        quantity=quantity,
        unit_price=price,
        kind="discount",
    )
