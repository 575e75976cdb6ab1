"""What model vendors charge for tokens: meters times an effective-dated price table, posted a day at a time.

The table is `vendor_prices.toml`. A model that it does not name on that day, or a kind of token that it does not
price, is named as unknown; it is never counted as nothing.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from billing.costs.days import day_period
from billing.exact import WIDE, quantity
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.locks import book_lock
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import entries_in
from billing.metering.selectors import usage_totals
from billing.metering.totals import MeterTotal

TABLE: Final = Path(__file__).parent / "vendor_prices.toml"
#: Prices are for so many tokens.
PER: Final = Decimal(1_000_000)
#: Which price each meter takes; the meters are disjoint parts.
PRICE_OF_METER: Final = {
    "input_tokens": "input",
    "cached_input_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
}


def _exact(value: object) -> object:
    # TOML's own floats would be read as binary ones.
    if isinstance(value, float | bool):
        raise ValueError("must be a string such as '2.50', never a float")
    return value


Amount = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=20, decimal_places=6)]


class VendorPrice(BaseModel):
    """Prices for a million tokens, from the first day until the last (excluded; None: still). None: no price."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    models: tuple[str, ...] = Field(min_length=1)
    currency: str = "USD"
    effective_from: date
    effective_to: date | None = None
    input: Amount | None = None
    output: Amount | None = None
    cache_read: Amount | None = None
    cache_write: Amount | None = None
    reasoning: Amount | None = None
    source: str = Field(min_length=1)
    read_on: date

    @model_validator(mode="after")
    def _check(self) -> "VendorPrice":
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must lie after effective_from")
        return self

    def holds(self, model: str, day: date) -> bool:
        ended = self.effective_to is not None and day >= self.effective_to
        return model in self.models and self.effective_from <= day and not ended


@dataclass(frozen=True)
class Unpriced:
    """Tokens that nobody knows the price of."""

    model: str
    meter: str
    tokens: Decimal


@cache
def vendor_prices() -> tuple[VendorPrice, ...]:
    """The table, checked: of one model and day at most one price holds."""
    with TABLE.open("rb") as file:
        return prices_read(tomllib.load(file)["price"])


def prices_read(rows: Iterable[object]) -> tuple[VendorPrice, ...]:
    prices = tuple(VendorPrice.model_validate(row) for row in rows)
    for index, price in enumerate(prices):
        for other in prices[:index]:
            for model in {*price.models} & {*other.models}:
                later = max(price.effective_from, other.effective_from)
                if price.holds(model, later) and other.holds(model, later):
                    raise ValueError(f"{model} has two prices on {later}")
    return prices


def tokens_priced(
    totals: Iterable[MeterTotal], day: date, prices: Sequence[VendorPrice]
) -> tuple[dict[str, Decimal], list[Unpriced]]:
    """What the tokens of a day cost by currency, to the twelfth place, and those without a price. Pure."""
    tokens: dict[tuple[str, str], Decimal] = {}
    for total in totals:
        if total.meter in PRICE_OF_METER and total.value:
            key = (total.dimension("model"), total.meter)
            tokens[key] = WIDE.add(tokens.get(key, Decimal(0)), total.value)
    costs: dict[str, Decimal] = {}
    unpriced = []
    for (model, meter), count in sorted(tokens.items()):
        held = next((price for price in prices if price.holds(model, day)), None)
        price: Decimal | None = getattr(held, PRICE_OF_METER[meter]) if held else None
        if held is None or price is None:
            unpriced.append(Unpriced(model, meter, count))
            continue
        cost = quantity(WIDE.multiply(count, price), PER)
        costs[held.currency] = WIDE.add(costs.get(held.currency, Decimal(0)), cost)
    return costs, unpriced


def model_costs_post(
    *, tenant_id: UUID, day: date, at: datetime, prices: Sequence[VendorPrice] | None = None
) -> list[Unpriced]:
    """Makes the day's model cost what its tokens, as known now, cost; events that came late post the difference.

    Returns what has no price.
    """
    period = day_period(day)
    with transaction.atomic():
        book_lock(tenant_id)
        totals = usage_totals(tenant_id=tenant_id, start=period.start, end=period.end, as_of=at)
        costs, unpriced = tokens_priced(totals, day, vendor_prices() if prices is None else prices)
        held = _posted(tenant_id, day)
        for currency in sorted({*costs, *held}):
            difference = WIDE.subtract(costs.get(currency, Decimal(0)), held.get(currency, Decimal(0)))
            if difference:
                _difference_post(tenant_id, day, currency, difference, at)
    return unpriced


def _posted(tenant_id: UUID, day: date) -> dict[str, Decimal]:
    found = entries_in(tenant_ids=[tenant_id], period=day_period(day)).filter(account=accounts.COST_MODELS)
    rows = found.order_by().values("transaction__currency").annotate(sum=Sum("amount"))
    return {row["transaction__currency"]: row["sum"] for row in rows}


def _difference_post(tenant_id: UUID, day: date, currency: str, difference: Decimal, at: datetime) -> None:
    key = f"cost_models:{tenant_id}:{day}:{currency}"
    earlier = JournalTransaction.objects.filter(key__startswith=f"{key}:").count()
    journal_post(
        key=f"{key}:{earlier + 1}",
        kind="cost_models",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[Entry(accounts.COST_MODELS, difference), Entry(accounts.COST_CLEARING, -difference)],
        about=f"Tokens of model vendors on {day}",
        period=day_period(day),
    )
