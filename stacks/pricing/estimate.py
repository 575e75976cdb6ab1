"""Adds up what a plan's resources cost a month, before and after. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from contracts.planned import CostEstimate, CostLine, CostUnknown, PlannedResource
from stacks.pricing.estimators import ESTIMATORS
from stacks.pricing.estimators.quantities import Beside, CannotEstimate, Inputs, Missing
from stacks.pricing.tables import PriceBook, PriceTable

_CENT = Decimal("0.01")


def cost_estimate(resources: Iterable[PlannedResource], book: PriceBook) -> CostEstimate:
    """Lines are of what will exist, each rounded to the cent, so that they sum to the total. A resource of which only
    a part can be priced has lines for that part, and is among the unknown. A type that Pulumi or Freehold uses for
    grouping (`pulumi:`, `freehold:`) is nothing that is paid for."""
    every = [each for each in resources if not each.type.startswith(("pulumi:", "freehold:"))]
    priced_before = _Side(book, [(each, each.before) for each in every if each.before is not None])
    priced_after = _Side(book, [(each, each.after) for each in every if each.after is not None])
    return CostEstimate(
        currency=book.currency,
        monthly_before=_money(priced_before.total),
        monthly_after=_money(priced_after.total),
        lines=priced_after.lines,
        unknown=list({**priced_before.unknown, **priced_after.unknown}.values()),
        prices=[table.source for table in {**priced_before.used, **priced_after.used}.values()],
    )


class _Side:
    """What costs before, or after: its lines, what of it is unknown, by URN, and the tables that were needed."""

    def __init__(self, book: PriceBook, existing: Sequence[tuple[PlannedResource, Inputs]]) -> None:
        self._book = book
        self.lines: list[CostLine] = []
        self.unknown: dict[str, CostUnknown] = {}
        self.used: dict[str, PriceTable] = {}
        beside = [(resource.type, inputs) for resource, inputs in existing]
        for resource, inputs in existing:
            about = {"urn": resource.urn, "name": resource.name, "type": resource.type}
            missing = list(self._price(about, inputs, beside))
            if missing:
                self.unknown[resource.urn] = CostUnknown(**about, why="; ".join(dict.fromkeys(missing)))

    @property
    def total(self) -> Decimal:
        return sum((Decimal(line.monthly) for line in self.lines), Decimal(0))

    def _price(self, about: dict[str, str], inputs: Inputs, beside: Beside) -> Iterator[str]:
        """Adds the lines that can be had; yields what stands in the way of the others."""
        estimator = ESTIMATORS.get(about["type"])
        if estimator is None:
            if not self._book.included(about["type"]):
                yield "no price is known for this type"
            return
        try:
            parts = estimator(inputs, beside)
        except CannotEstimate as error:
            yield str(error)
            return
        for part in parts:
            if isinstance(part, Missing):
                yield part.why
                continue
            found = self._book.price(part.sku)
            if found is None:
                yield f"no price table has {part.sku}"
                continue
            price, table = found
            self.used[table.table.name] = table
            self.lines.append(
                CostLine(
                    **about,
                    sku=part.sku,
                    quantity=_plain(part.amount),
                    unit=part.unit,
                    unit_price=_plain(price),
                    monthly=_money(part.amount * price),
                )
            )


def _money(amount: Decimal) -> str:
    return str(amount.quantize(_CENT, rounding=ROUND_HALF_EVEN))


def _plain(amount: Decimal) -> str:
    """Without exponent, and without the digits of a division that never ends."""
    return format(round(amount, 6).normalize(), "f")
