"""Rate cards: what a plan charges, as immutable versioned data; and what a contract makes of one."""

from collections.abc import Sequence
from typing import Annotated, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from billing.currencies import minor_unit
from billing.rating.prices import Amount, Price, Tier, meter_known

__all__ = ["Amount", "Commitment", "Discount", "Fee", "Overrides", "Price", "RateCard", "Tier", "card_with"]

Key = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class Fee(BaseModel):
    """A flat fee beside the base fee: for each month, prorated, or `one_off` when the tenant comes to the
    card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    description: Annotated[str, Field(min_length=1, max_length=200)]
    amount: Amount
    one_off: bool = False


class _Scoped(BaseModel):
    """`meters` narrows it to the usage of these; empty: base fee, monthly fees and all usage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    meters: tuple[str, ...] = ()

    @field_validator("meters")
    @classmethod
    def _meters_exist(cls, meters: tuple[str, ...]) -> tuple[str, ...]:
        for meter in meters:
            meter_known(meter)
        return meters


class Discount(_Scoped):
    """`percent` of the charges, or a fixed `amount` a month (prorated, and never more than the charges).

    Discounts apply in their order, each to what the earlier ones left.
    """

    percent: Annotated[Amount, Field(le=100)] | None = None
    amount: Amount | None = None
    description: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a discount is either a percent or an amount")
        return self


class Commitment(_Scoped):
    """What a month costs at least (topped up on a line of its own) and at most (capped), after discounts."""

    minimum: Amount | None = None
    maximum: Amount | None = None

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a commitment has a minimum, a maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("the minimum is above the maximum")
        return self


Item = TypeVar("Item", Fee, Discount, Commitment)


class RateCard(BaseModel):
    """Prices of a plan. `base_fee` is for one calendar month. A published (key, version) never changes.

    `effective_from`: from when this version counts; None: from its publication, a first version from ever.
    `trial_days`: how long new tenants pay nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    version: Annotated[int, Field(ge=1)]
    currency: str = "USD"
    effective_from: AwareDatetime | None = None
    base_fee: Amount
    fees: tuple[Fee, ...] = ()
    prices: tuple[Price, ...] = ()
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    trial_days: Annotated[int, Field(ge=0, le=366)] = 0

    @field_validator("currency")
    @classmethod
    def _currency_known(cls, currency: str) -> str:
        minor_unit(currency)
        return currency

    @model_validator(mode="after")
    def _check(self) -> Self:
        for index, price in enumerate(self.prices):
            for earlier in self.prices[:index]:
                if earlier.meter == price.meter and earlier.match.items() <= price.match.items():
                    raise ValueError(f"price {price.key!r} is never reached: {earlier.key!r} comes before it")
        _keys_differ(self.fees, self.discounts, self.commitments)
        return self


class Overrides(BaseModel):
    """What one tenant's contract puts in place of its card's terms; None or empty: as the card says.

    A price replaces the card's one of the same meter and match, or is added, before the wider ones of its
    meter. Fees, discounts and commitments come after the card's own; one of the same key replaces it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_fee: Amount | None = None
    fees: tuple[Fee, ...] = ()
    prices: tuple[Price, ...] = ()
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[Commitment, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _keys_differ(self.fees, self.discounts, self.commitments)
        if len({price.key for price in self.prices}) != len(self.prices):
            raise ValueError("two prices of one meter have the same match")
        return self


def card_with(card: RateCard, overrides: Overrides) -> RateCard:
    """The card as the contract has it, under the same key and version. Raises ValueError where the two do not
    fit."""
    own = {price.key: price for price in overrides.prices}
    prices = [own.pop(price.key, price) for price in card.prices]
    for price in own.values():
        wider = [
            index
            for index, other in enumerate(prices)
            if other.meter == price.meter and len(other.match) < len(price.match)
        ]
        prices.insert(wider[0] if wider else len(prices), price)
    return RateCard.model_validate(
        {
            **dict(card),
            "base_fee": card.base_fee if overrides.base_fee is None else overrides.base_fee,
            "fees": _merged(card.fees, overrides.fees),
            "prices": tuple(prices),
            "discounts": _merged(card.discounts, overrides.discounts),
            "commitments": _merged(card.commitments, overrides.commitments),
        }
    )


def _merged(base: Sequence[Item], over: Sequence[Item]) -> tuple[Item, ...]:
    replacing: dict[str, Item] = {item.key: item for item in over}
    merged: list[Item] = [replacing.pop(item.key, item) for item in base]
    merged.extend(replacing.values())
    return tuple(merged)


def _keys_differ(*groups: Sequence[Fee | Discount | Commitment]) -> None:
    for group in groups:
        if len({item.key for item in group}) != len(group):
            raise ValueError("two entries have the same key")
