"""Taxes on an invoice, from a provider that can be changed. Pure.

Rounding: each line's tax is its base times the rate, rounded half away from zero to the currency's minor unit; the
invoice's tax is the sum of these. The base of a line is its amount less its share of the credits.

The built-in rates are whatever the operator enters: which tax is owed, at which rate and since when, is the
operator's own responsibility. A tax id is checked by its form only, never against a register.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from billing.currencies import minor_unit
from billing.exact import WIDE, exact_product

#: Member states of the European Union by ISO 3166 code (as of 2026), with the letters their VAT ids begin with where
#: these differ.
_EU: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU_COUNTRIES: Final = frozenset(_EU.split())
_VAT_PREFIX: Final = {"GR": "EL"}
_VAT_ID: Final = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,12}", re.ASCII)
REVERSE_CHARGE_NOTE: Final = (
    "Reverse charge: VAT is to be accounted for by the recipient (Article 196 of Directive 2006/112/EC)."
)


@dataclass(frozen=True)
class Party:
    """`country` is an ISO 3166 code or empty, `tax_id` as the party gave it."""

    country: str
    tax_id: str


@dataclass(frozen=True)
class LineTax:
    """`rate` is a share: 0.19 is 19 %."""

    name: str
    rate: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Taxes:
    """One `LineTax` for each base, in their order; `note` is what the invoice has to say about them."""

    lines: tuple[LineTax, ...]
    note: str = ""


class TaxProvider(Protocol):
    """Answers for bases in whole minor units of `currency`, as of the day of the invoice."""

    def taxes(
        self, *, seller: Party, buyer: Party, at: datetime, currency: str, bases: Sequence[Decimal]
    ) -> Taxes: ...


class NoTax:
    def taxes(
        self, *, seller: Party, buyer: Party, at: datetime, currency: str, bases: Sequence[Decimal]
    ) -> Taxes:
        return Taxes(tuple(LineTax("", Decimal(0), Decimal(0)) for _ in bases))


class TaxRate(BaseModel):
    """A rate of one country from `since` on, before `until`. `rate` is a share as a decimal string."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    rate: Annotated[Decimal, Field(ge=0, le=1, max_digits=7, decimal_places=6)]
    name: Annotated[str, Field(min_length=1, max_length=40)] = "VAT"
    since: date
    until: date | None = None

    def holds(self, country: str, day: date) -> bool:
        return self.country == country and self.since <= day and (self.until is None or day < self.until)


TAX_RATES: Final = TypeAdapter(tuple[TaxRate, ...])


class FixedRates:
    """The buyer's country decides, or the seller's where the buyer's is not known; without a rate there is no tax.

    Between two countries of the EU, a buyer with a VAT id of its country accounts for the tax itself.
    """

    def __init__(self, rates: Sequence[TaxRate]) -> None:
        self._rates = rates

    def taxes(
        self, *, seller: Party, buyer: Party, at: datetime, currency: str, bases: Sequence[Decimal]
    ) -> Taxes:
        country = buyer.country or seller.country
        if reverse_charge(seller, buyer):
            return Taxes(tuple(LineTax("VAT", Decimal(0), Decimal(0)) for _ in bases), REVERSE_CHARGE_NOTE)
        rate = next((row for row in self._rates if row.holds(country, at.date())), None)
        if rate is None:
            return NoTax().taxes(seller=seller, buyer=buyer, at=at, currency=currency, bases=bases)
        return Taxes(
            tuple(LineTax(rate.name, rate.rate, rounded(base, rate.rate, currency)) for base in bases)
        )


def reverse_charge(seller: Party, buyer: Party) -> bool:
    return (
        {seller.country, buyer.country} <= EU_COUNTRIES
        and seller.country != buyer.country
        and vat_id_fits(buyer.tax_id, buyer.country)
    )


def vat_id_fits(tax_id: str, country: str) -> bool:
    bare = re.sub(r"[ .-]", "", tax_id).upper()
    return bool(_VAT_ID.fullmatch(bare)) and bare.startswith(_VAT_PREFIX.get(country, country))


def rounded(base: Decimal, rate: Decimal, currency: str) -> Decimal:
    return exact_product(base, rate).quantize(minor_unit(currency), rounding=ROUND_HALF_UP, context=WIDE)


#: What a legal entity's `tax_provider` may be.
TAX_PROVIDERS: Final = ("none", "fixed")


def tax_provider(*, kind: str, rates: object) -> TaxProvider:
    """`rates` as the legal entity keeps them. A provider that asks a service (Stripe Tax) has its row here too."""
    return FixedRates(TAX_RATES.validate_python(rates)) if kind == "fixed" else NoTax()
