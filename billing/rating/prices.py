"""Prices: how one meter's usage is charged, as immutable data."""

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

PriceModel = Literal["per_unit", "graduated", "volume", "package"]


class Tier(BaseModel):
    """Units up to and with `up_to` (None: all further ones). `unit_price` is for the price's `per` units, `flat`
    for having any unit in the tier; a month's bounds and flats are prorated like its allowance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up_to: Amount | None = None
    unit_price: Amount = Decimal(0)
    flat: Amount = Decimal(0)


class Price(BaseModel):
    """One price of one meter; the first `included` units of a month are free.

    `per_unit`: `unit_price` for `per` units, a power of ten. `package`: `unit_price` for each begun package of
    `per` units. `graduated`: each unit at the price of the tier it falls into. `volume`: all units at the price
    of the tier that the whole quantity falls into. Nothing charged, no tier: zero units cost nothing.

    `match` narrows it to usage whose dimensions have these values. Usage is charged by the first price of the
    card that matches it, so each unit is charged at most once; what no price matches is free.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter: str
    model: PriceModel = "per_unit"
    unit_price: Amount = Decimal(0)
    per: Amount = Decimal(1)
    included: Amount = Decimal(0)
    tiers: tuple[Tier, ...] = ()
    match: dict[str, str] = {}

    @model_validator(mode="after")
    def _check(self) -> "Price":
        meter_known(self.meter)
        meter = METERS[self.meter]
        # Spans carry further dimensions of their resource (say, the GPU's model), named by the stack.
        if meter.aggregation != "span" and not set(self.match) <= set(meter.dimensions):
            raise ValueError(f"{self.meter} has the dimensions {', '.join(meter.dimensions)}")
        if self.match and not meter.additive:
            raise ValueError(f"{self.meter} has one total over all its dimensions, so it takes no match")
        self._check_per()
        self._check_tiers()
        return self

    def _check_per(self) -> None:
        if self.model == "package":
            if self.per <= 0 or self.per % 1:
                raise ValueError("per must be the whole number of units in a package")
            return
        # Only then is unit_price / per finite, and the line's quantity x unit price its exact amount.
        digits = decimal_text(self.per)
        if digits[0] != "1" or digits.strip("0") != "1":
            raise ValueError("per must be a power of ten such as 1, 1000 or 1000000")

    def _check_tiers(self) -> None:
        if self.model in ("per_unit", "package"):
            if self.tiers:
                raise ValueError(f"a {self.model} price has no tiers")
            if "unit_price" not in self.model_fields_set:
                raise ValueError(f"a {self.model} price needs a unit_price")
            return
        if "unit_price" in self.model_fields_set and self.unit_price:
            raise ValueError(f"a {self.model} price has its unit prices in its tiers")
        bounds = [tier.up_to for tier in self.tiers]
        if not bounds or bounds[-1] is not None:
            raise ValueError("the last tier must have no up_to, so that every quantity has a tier")
        ends = [bound for bound in bounds[:-1] if bound is not None]
        if len(ends) != len(bounds) - 1 or sorted(set(ends)) != ends or (ends and not ends[0]):
            raise ValueError("the tiers' up_to must grow from tier to tier")

    @property
    def key(self) -> str:
        """Stable within a card: the meter and what it is narrowed to."""
        return f"{self.meter} {json.dumps(self.match, sort_keys=True)}" if self.match else self.meter


def meter_known(key: str) -> None:
    if key not in METERS:
        raise ValueError(f"there is no meter {key!r}; there are {', '.join(METERS)}")
