"""Price tables: TOML files with a day and a source. An operator's tables come before ours.

```
[table]
name = "our-contract-2026"
currency = "USD"
date = 2026-11-01
source = "private pricing agreement 4711"
regions = ["eu-central-1"]          # or ["*"]
[prices]                            # SKU -> price of one unit; units are the estimators'
"aws:ec2:g6.xlarge:on_demand" = "0.9"
[included]                          # resource types that cost nothing by themselves, and why
"aws:ec2/subnet:Subnet" = "no charge"
```
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from contracts.base import Contract
from contracts.planned import PriceSource
from stacks.errors import PricesBroken

SHIPPED = Path(__file__).parent / "tables"


class _Head(Contract):
    name: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    date: date
    source: str
    regions: list[str]


class PriceTable(Contract):
    table: _Head
    prices: dict[str, Annotated[Decimal, Field(ge=0)]] = {}
    included: dict[str, str] = {}

    @property
    def source(self) -> PriceSource:
        return PriceSource(name=self.table.name, date=self.table.date, origin=self.table.source)

    def holds(self, region: str) -> bool:
        return "*" in self.table.regions or region in self.table.regions


@dataclass(frozen=True)
class PriceBook:
    """The tables of one region, the first that names a SKU decides. All are of one currency."""

    tables: tuple[PriceTable, ...]

    @property
    def currency(self) -> str:
        return self.tables[0].table.currency if self.tables else "USD"

    def price(self, sku: str) -> tuple[Decimal, PriceTable] | None:
        for table in self.tables:
            if sku in table.prices:
                return table.prices[sku], table
        return None

    def included(self, type_name: str) -> bool:
        return any(type_name in table.included for table in self.tables)


def price_book(*, region: str, own: Sequence[Path] = ()) -> PriceBook:
    """Tables for the region: the operator's, in their order, then ours of the same currency.

    PricesBroken for a file that cannot be read or whose own tables mix currencies.
    """
    given = [table for table in map(_read, own) if table.holds(region)]
    currencies = {table.table.currency for table in given}
    if len(currencies) > 1:
        raise PricesBroken(
            f"the price tables for {region} are in {', '.join(sorted(currencies))}: one currency, please"
        )
    shipped = [table for table in map(_read, sorted(SHIPPED.glob("*.toml"))) if table.holds(region)]
    if currencies:
        # A price in another currency is no price: what only our table knows is unknown then, and said so.
        shipped = [
            table if table.table.currency in currencies else table.model_copy(update={"prices": {}})
            for table in shipped
        ]
    return PriceBook((*given, *shipped))


def _read(path: Path) -> PriceTable:
    try:
        return PriceTable.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PricesBroken(f"the price table {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PricesBroken(f"the price table {path}, field {field}: {first['msg']}") from error
