"""Rate cards: what a plan charges, as immutable versioned data."""

import json
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from billing.exact import decimal_text
from billing.metering.catalogue import METERS


def _no_float(value: Any) -> Any:
    # 0.1 as a float is not 0.1: a price that passed through one is already another price.
    if isinstance(value, float | bool):
        raise ValueError("must be a decimal string or an integer, never a float")
    return value


Amount = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(ge=0, max_digits=30, decimal_places=12),
    PlainSerializer(decimal_text, return_type=str, when_used="json"),
]


class Price(BaseModel):
    """One price of one meter. `unit_price` is for `per` units; the first `included` units are free.

    `match` narrows it to usage whose dimensions have these values. Usage is charged by the first price of the
    card that matches it, so each unit is charged at most once; what no price matches is free.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: str
    unit_price: Amount
    per: Amount = Decimal(1)
    included: Amount = Decimal(0)
    match: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> "Price":
        meter = METERS.get(self.meter)
        if meter is None:
            raise ValueError(f"there is no meter {self.meter!r}; there are {', '.join(METERS)}")
        # Spans carry further dimensions of their resource (say, the GPU's model), named by the stack.
        if meter.aggregation != "span" and not set(self.match) <= set(meter.dimensions):
            raise ValueError(f"{self.meter} has the dimensions {', '.join(meter.dimensions)}")
        # Only then is unit_price / per finite, and the line's quantity x unit price its exact amount.
        digits = decimal_text(self.per)
        if digits[0] != "1" or digits.strip("0") != "1":
            raise ValueError("per must be a power of ten such as 1, 1000 or 1000000")
        return self

    @property
    def key(self) -> str:
        """Stable within a card: the meter and what it is narrowed to."""
        return f"{self.meter} {json.dumps(self.match, sort_keys=True)}" if self.match else self.meter


class RateCard(BaseModel):
    """Prices of a plan. `base_fee` is for one calendar month. A published (key, version) never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, Field(min_length=1, max_length=80)]
    version: Annotated[int, Field(ge=1)]
    currency: Literal["USD"] = "USD"
    base_fee: Amount
    prices: tuple[Price, ...] = ()

    @model_validator(mode="after")
    def _every_price_is_reachable(self) -> "RateCard":
        for index, price in enumerate(self.prices):
            for earlier in self.prices[:index]:
                if earlier.meter == price.meter and earlier.match.items() <= price.match.items():
                    raise ValueError(f"price {price.key!r} is never reached: {earlier.key!r} comes before it")
        return self
