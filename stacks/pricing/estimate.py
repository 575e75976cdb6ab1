"""Adds up what a plan's resources cost a month, before and after. Pure."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from contracts.planned import CostEstimate, CostLine, CostUnknown, PlannedResource
from stacks.pricing.estimators import ESTIMATORS
from stacks.pricing.estimators.quantities import CannotEstimate
from stacks.pricing.tables import PriceBook, PriceTable

_CENT = Decimal("0.01")


def cost_estimate(resources: Iterable[PlannedResource], book: PriceBook) -> CostEstimate:
    """Lines are of what will exist, each rounded to the cent, so that they sum to the total. A type that Pulumi or
    Freehold uses for grouping (`pulumi:`, `freehold:`) is nothing that is paid for."""
    before, after = Decimal(0), Decimal(0)
    lines: list[CostLine] = []
    unknown: dict[str, CostUnknown] = {}
    used: dict[str, PriceTable] = {}
    for resource in resources:
        if resource.type.startswith(("pulumi:", "freehold:")):
            continue
        for inputs, wanted in ((resource.before, False), (resource.after, True)):
            if inputs is None:
                continue
            priced = _lines(resource, inputs, book, used)
            if isinstance(priced, CostUnknown):
                unknown[resource.urn] = priced
                continue
            total = sum((Decimal(line.monthly) for line in priced), Decimal(0))
            if wanted:
                after += total
                lines += priced
            else:
                before += total
    return CostEstimate(
        currency=book.currency,
        monthly_before=_money(before),
        monthly_after=_money(after),
        lines=lines,
        unknown=list(unknown.values()),
        prices=[table.source for table in used.values()],
    )


def _lines(
    resource: PlannedResource, inputs: Mapping[str, Any], book: PriceBook, used: dict[str, PriceTable]
) -> list[CostLine] | CostUnknown:
    about = {"urn": resource.urn, "name": resource.name, "type": resource.type}
    estimator = ESTIMATORS.get(resource.type)
    if estimator is None:
        if book.included(resource.type):
            return []
        return CostUnknown(**about, why="no price is known for this type")
    try:
        quantities = estimator(inputs)
    except CannotEstimate as error:
        return CostUnknown(**about, why=str(error))
    lines = []
    for quantity in quantities:
        found = book.price(quantity.sku)
        if found is None:
            return CostUnknown(**about, why=f"no price table has {quantity.sku}")
        price, table = found
        used[table.table.name] = table
        lines.append(
            CostLine(
                **about,
                sku=quantity.sku,
                quantity=_plain(quantity.amount),
                unit=quantity.unit,
                unit_price=_plain(price),
                monthly=_money(quantity.amount * price),
            )
        )
    return lines


def _money(amount: Decimal) -> str:
    return str(amount.quantize(_CENT, rounding=ROUND_HALF_EVEN))


def _plain(amount: Decimal) -> str:
    """Without exponent, and without the digits of a division that never ends."""
    return format(round(amount, 6).normalize(), "f")
