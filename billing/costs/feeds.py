"""Reads a provider's bill line by line: AWS CUR 2.0 (and the older CUR), and FOCUS 1.x. Pure but for the stream.

Sources: AWS Data Exports, table dictionaries `COST_AND_USAGE_REPORT` (CUR 2.0) and the columns of the older report;
FinOps Open Cost and Usage Specification 1.0 to 1.2. The cost taken is what the provider bills: CUR's net unblended
cost where the export has it, else the unblended one; FOCUS' BilledCost. A line's day is the UTC day it begins on.

AWS promises that a line's id is unique within one delivery only: the next delivery of the same month may use others.
FOCUS has no id at all; there it is the digest of what a line is about, and a number for those that are alike.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

from billing.currencies import MINOR_PLACES
from billing.exact import QUANTITY_STEP, WIDE

CUR: Final = "cur"
FOCUS: Final = "focus"
#: The tag that the stacks put on every resource (stacks/policy: tenant-tags), as it is compared.
TENANT_TAG: Final = "freehold_tenant"
_CUR_NEEDS = (
    "identity_line_item_id",
    "bill_billing_period_start_date",
    "line_item_usage_start_date",
    "line_item_unblended_cost",
    "line_item_currency_code",
)
_FOCUS_NEEDS = ("BillingPeriodStart", "ChargePeriodStart", "BilledCost", "BillingCurrency")
#: What may change from one delivery to the next, and so cannot make a line the one it is.
_FOCUS_MUTABLE = ("InvoiceId", "InvoiceIssuerName")
_FOCUS_COST = re.compile(r"Cost$|Price$|^Tags$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_TAG_PREFIX = re.compile(r"^(resource_tags?_)?(user_)?")


@dataclass(frozen=True)
class FeedLine:
    """`number` is the line of the file; `tag` the tenant's slug, empty for none."""

    number: int
    line_id: str
    billing_period: str
    tag: str
    day: date
    amount: Decimal
    currency: str
    final: bool
    service: str


@dataclass(frozen=True)
class FeedProblem:
    number: int
    detail: str


class _Malformed(Exception):
    pass


_Row = Mapping[str, str]


class _Reader(Protocol):
    line_num: int

    def __next__(self) -> list[str]: ...


#: (number, cells by known name, cells by the header's own name, ids seen so far) -> the line
_Read = Callable[[int, _Row, _Row, Counter[str]], FeedLine]


@dataclass(frozen=True)
class Feed:
    """A file whose header was understood. `lines` is read once."""

    format: str
    lines: Iterator[FeedLine | FeedProblem]


def feed_read(text: Iterable[str]) -> Feed | FeedProblem:
    """Tells the format by its header. A malformed line is a FeedProblem, and reading goes on after it; a file that
    cannot be read on ends with one."""
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader)
    except StopIteration:
        return FeedProblem(1, "the file is empty")
    except (csv.Error, ValueError) as error:
        return FeedProblem(1, f"cannot be read: {error}")
    names = [_snake(name) for name in header]
    if "line_item_unblended_cost" in names:
        missing = [name for name in _CUR_NEEDS if name not in names]
        feed = Feed(CUR, _lines(reader, names, header, _cur_line))
    elif "BilledCost" in header:
        missing = [name for name in _FOCUS_NEEDS if name not in header]
        feed = Feed(FOCUS, _lines(reader, header, header, _focus_line))
    else:
        return FeedProblem(
            1, "the header is neither CUR's (line_item_unblended_cost) nor FOCUS' (BilledCost)"
        )
    return FeedProblem(1, f"columns are missing: {', '.join(missing)}") if missing else feed


def _lines(
    reader: "_Reader", names: list[str], header: list[str], read: _Read
) -> Iterator[FeedLine | FeedProblem]:
    seen: Counter[str] = Counter()
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, ValueError) as error:
            yield FeedProblem(reader.line_num + 1, f"cannot be read on: {error}")
            return
        if not cells:
            continue
        if len(cells) != len(names):
            yield FeedProblem(reader.line_num, f"has {len(cells)} fields, the header {len(names)}")
            continue
        try:
            yield read(
                reader.line_num,
                dict(zip(names, cells, strict=True)),
                dict(zip(header, cells, strict=True)),
                seen,
            )
        except _Malformed as error:
            yield FeedProblem(reader.line_num, str(error))


def _cur_line(number: int, row: Mapping[str, str], raw: Mapping[str, str], seen: Counter[str]) -> FeedLine:
    line_id = f"{row['identity_line_item_id']} {row.get('identity_time_interval', '')}".strip()
    if not row["identity_line_item_id"]:
        raise _Malformed("identity_line_item_id is empty")
    seen[line_id] += 1
    if seen[line_id] > 1:
        raise _Malformed(f"the line id {line_id} is there a second time")
    cost = row.get("line_item_net_unblended_cost") or row["line_item_unblended_cost"]
    return FeedLine(
        number=number,
        line_id=line_id,
        billing_period=f"{_day(row, 'bill_billing_period_start_date'):%Y-%m}",
        tag=_tag(raw),
        day=_day(row, "line_item_usage_start_date"),
        amount=_amount(cost, "line_item_unblended_cost"),
        currency=_currency(row["line_item_currency_code"], "line_item_currency_code"),
        final=bool(row.get("bill_invoice_id", "").strip()),
        service=row.get("line_item_product_code", ""),
    )


def _focus_line(number: int, row: Mapping[str, str], raw: Mapping[str, str], seen: Counter[str]) -> FeedLine:
    about = {
        name: cell
        for name, cell in row.items()
        if name not in _FOCUS_MUTABLE and not _FOCUS_COST.search(name) and not name.endswith("Quantity")
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    seen[digest] += 1
    return FeedLine(
        number=number,
        line_id=f"{digest}:{seen[digest]}",
        billing_period=f"{_day(row, 'BillingPeriodStart'):%Y-%m}",
        tag=_tag(raw),
        day=_day(row, "ChargePeriodStart"),
        amount=_amount(row["BilledCost"], "BilledCost"),
        currency=_currency(row["BillingCurrency"], "BillingCurrency"),
        final=bool(row.get("InvoiceId", "").strip()),
        service=row.get("ServiceName", ""),
    )


def _tag(raw: Mapping[str, str]) -> str:
    """The tenant's tag: a column of its own, or a member of a map column, whatever prefix the export gives it."""
    for name, cell in raw.items():
        key = _snake(name)
        if _is_tenant(key) and cell.strip():
            return cell.strip()
        if key in ("resource_tags", "tags") and cell.strip():
            for tag, value in _map(cell, name):
                if _is_tenant(_snake(tag)) and value.strip():
                    return value.strip()
    return ""


def _is_tenant(key: str) -> bool:
    return _TAG_PREFIX.sub("", key) == TENANT_TAG


def _map(cell: str, name: str) -> Iterator[tuple[str, str]]:
    try:
        members = json.loads(cell)
    except (ValueError, RecursionError):
        raise _Malformed(f"{name} is no JSON") from None
    if not isinstance(members, dict):
        raise _Malformed(f"{name} is no map of tags")
    for tag, value in members.items():
        yield tag, value if isinstance(value, str) else ""


def _snake(name: str) -> str:
    return _NOT_WORD.sub("_", _CAMEL.sub("_", name.strip()).lower()).strip("_")


def _day(row: Mapping[str, str], name: str) -> date:
    try:
        moment = datetime.fromisoformat(row[name].strip().removesuffix(" UTC"))
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError):
        raise _Malformed(f"{name} is no time: {row[name][:40]!r}") from None


def _amount(cell: str, name: str) -> Decimal:
    """Finer than twelve places is rounded there, half to even: providers that count in doubles write such."""
    try:
        amount = Decimal(cell.strip())
        if abs(amount) >= Decimal("1e20"):
            raise InvalidOperation
        return amount.quantize(QUANTITY_STEP, context=WIDE)
    except InvalidOperation:
        raise _Malformed(f"{name} is no amount: {cell[:40]!r}") from None


def _currency(cell: str, name: str) -> str:
    code = cell.strip().upper()
    if code not in MINOR_PLACES:
        raise _Malformed(f"{name} is no currency we know: {cell[:10]!r}")
    return code
