"""Why a line is what it is: its tier parts, its rate card with the prices, the windows its usage fell into, and the
exact events or spans. Reads only; with what was known when the invoice was rated."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypedDict

from billing.exact import decimal_text, exact_sum, money_text
from billing.invoicing.cards import card_of_line
from billing.invoicing.models import Invoice, InvoiceLine
from billing.metering.catalogue import METERS
from billing.metering.explain import Explained, events_of
from billing.metering.measure import measure
from billing.metering.windows import Window
from billing.rating.cards import RateCard
from controlplane.core.clock import moment_text
from controlplane.core.errors import ValidationFailed

#: By how much the events' values may miss the line's `used` in their sum. Hours of spans are quotients, each rounded
#: to twelve places. What other meters measure (a gauge's average, a maximum, distinct values) is no sum.
TOLERANCES: Final = {"sum": "0", "count": "0", "span": "0.000001"}

#: How many events are read at a time; some of them are another price's.
PAGE: Final = 1000


@dataclass(frozen=True)
class LineEvent:
    """One event or span and what it adds to the line's `used`."""

    source: str
    id: str
    time: datetime
    value: Decimal

    def as_data(self) -> dict[str, str]:
        return {
            "source": self.source,
            "id": self.id,
            "time": moment_text(self.time),
            "value": decimal_text(self.value),
        }


@dataclass(frozen=True)
class EventPage:
    """`next` is the cursor of the following page, None at the end."""

    events: tuple[LineEvent, ...]
    next: str | None


# "from" is a keyword of Python, so this one cannot be a class.
WindowUsage = TypedDict("WindowUsage", {"from": str, "to": str, "value": str})


class LineExplanation(TypedDict):
    """`windows` (days in UTC, cut to the service period) add up to `used`, and so do all pages of `events`;
    `used` less `included` is `quantity`, and the parts, or quantity x unit price, come to `exact`."""

    line: dict[str, Any]
    arithmetic: str
    parts: list[dict[str, Any]]
    rate_card: dict[str, Any]
    price: dict[str, Any] | None
    known_at: str
    windows: list[WindowUsage]
    windows_total: str
    events: list[dict[str, str]]
    next: str | None


def line_is_metered(line: InvoiceLine) -> bool:
    return line.kind == "usage" and line.meter in METERS


def line_tolerance(line: InvoiceLine) -> str | None:
    """None: its events do not add up to it."""
    return TOLERANCES.get(METERS[line.meter].aggregation) if line_is_metered(line) else None


def line_explain(
    *, invoice: Invoice, line: InvoiceLine, limit: int = 50, after: str | None = None
) -> LineExplanation:
    """`after` is the cursor of an earlier page. Raises ValidationFailed naming `cursor` for any other text."""
    found = card_of_line(invoice, line)
    card = None if found is None else found.card
    metered = line_is_metered(line)
    page = (
        line_events(invoice=invoice, line=line, limit=limit, after=after) if metered else EventPage((), None)
    )
    windows = _windows(invoice, line) if metered else []
    return LineExplanation(
        line=_line_shown(line, invoice.currency),
        arithmetic=_arithmetic(line, invoice.currency),
        parts=list(line.parts),
        rate_card=card or {"key": line.rate_card_key, "version": line.rate_card_version},
        price=_price(card, line.key),
        known_at=moment_text(_known_at(invoice, line)),
        windows=[
            {"from": moment_text(window.start), "to": moment_text(window.end), "value": decimal_text(value)}
            for window, value in windows
        ],
        windows_total=decimal_text(exact_sum(value for _, value in windows)),
        events=[event.as_data() for event in page.events],
        next=page.next,
    )


def line_events(*, invoice: Invoice, line: InvoiceLine, limit: int, after: str | None = None) -> EventPage:
    """A page of the events or spans behind a metered line: those that its price charged, for a price with fewer
    conditions charges only what no earlier price of the card did."""
    charged, match = _charged_by(invoice, line), _match(line.key)
    start, end = _measured(invoice, line)
    cursor = _cursor_read(after)
    found: list[Explained] = []
    while len(found) <= limit:
        page = events_of(
            tenant_id=invoice.tenant_id,
            meter=line.meter,
            dimensions_match=match,
            start=start,
            end=min(end, invoice.as_of),
            known_at=_known_at(invoice, line),
            limit=PAGE,
            after=cursor,
        )
        found += [event for event in page if charged(event.dimensions)]
        if len(page) < PAGE:
            break
        cursor = page[-1].cursor
    shown = found[:limit]
    events = tuple(LineEvent(event.source, event.id, event.time, event.value) for event in shown)
    return EventPage(events, _cursor_text(shown[-1]) if len(found) > limit else None)


def _windows(invoice: Invoice, line: InvoiceLine) -> list[tuple[Window, Decimal]]:
    start, end = _measured(invoice, line)
    edges = [start]
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while midnight < end:
        edges.append(midnight)
        midnight += timedelta(days=1)
    windows = [Window(*pair) for pair in zip(edges, [*edges[1:], end], strict=True)]
    measured = measure(
        tenant_id=invoice.tenant_id,
        meter=METERS[line.meter],
        windows=windows,
        as_of=invoice.as_of,
        known_at=_known_at(invoice, line),
    )
    charged = _charged_by(invoice, line)
    sums: dict[int, list[Decimal]] = {}
    for (index, dimensions), value in measured.items():
        if charged({name: str(text) for name, text in json.loads(dimensions).items()}):
            sums.setdefault(index, []).append(value)
    return [(windows[index], exact_sum(sums[index])) for index in sorted(sums)]


def _charged_by(invoice: Invoice, line: InvoiceLine) -> Callable[[Mapping[str, str]], bool]:
    """Whether usage with these dimensions was charged by the line's price."""
    found = card_of_line(invoice, line)
    if found is None:
        match = _match(line.key)
        return lambda dimensions: match.items() <= dimensions.items()
    prices = [price for price in RateCard.model_validate(found.card).prices if price.meter == line.meter]

    def charged(dimensions: Mapping[str, str]) -> bool:
        first = next((price for price in prices if price.match.items() <= dimensions.items()), None)
        return first is not None and first.key == line.key

    return charged


def _match(key: str) -> dict[str, str]:
    """The conditions of a price, which its key spells out."""
    _, _, narrowed = key.partition(" ")
    return dict(json.loads(narrowed)) if narrowed else {}


def _measured(invoice: Invoice, line: InvoiceLine) -> tuple[datetime, datetime]:
    """What usage was measured for the line: its service period, or more where its card also charges what was used
    before or after the agreement."""
    found = card_of_line(invoice, line)
    return (line.start, line.end) if found is None else (found.measured_start, found.measured_end)


def _price(card: dict[str, Any] | None, key: str) -> dict[str, Any] | None:
    if card is None:
        return None
    prices = RateCard.model_validate(card).prices
    found = next((price for price in prices if price.key == key), None)
    return None if found is None else found.model_dump(mode="json")


def _known_at(invoice: Invoice, line: InvoiceLine) -> datetime:
    return line.settlement.known_at if line.settlement is not None else invoice.known_at


def _arithmetic(line: InvoiceLine, currency: str) -> str:
    """The line in words: how its quantity became its amount."""
    amount = f"{money_text(line.amount, currency)} {currency}"
    if line.kind == "correction":
        return f"What is known now less what was invoiced for the service period before: {amount}"
    if line.kind == "tax":
        return f"The sum of the lines' tax, each rounded to the currency's minor unit: {amount}"
    if line.parts:
        return f"{len(line.parts)} tier parts come to {decimal_text(line.exact)}, rounded with the others to {amount}"
    counted = f"{decimal_text(line.used)} used - {decimal_text(line.included)} included"
    product = f"{decimal_text(line.quantity)} x {decimal_text(line.unit_price)} = {decimal_text(line.exact)}"
    return f"{counted}; {product}, rounded with the others to {amount}"


def _line_shown(line: InvoiceLine, currency: str) -> dict[str, Any]:
    exact = ("used", "included", "quantity", "unit_price", "exact")
    return {
        "id": str(line.pk),
        "kind": line.kind,
        "description": line.description,
        "meter": line.meter,
        "unit": line.unit,
        "from": moment_text(line.start),
        "to": moment_text(line.end),
        **{name: decimal_text(getattr(line, name)) for name in exact},
        "amount": money_text(line.amount, currency),
    }


def _cursor_text(event: Explained) -> str:
    raw = json.dumps([event.time.isoformat(), event.source, event.id])
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _cursor_read(raw: str | None) -> tuple[datetime, str, str] | None:
    if raw is None:
        return None
    try:
        at, source, event_id = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
        if not isinstance(source, str) or not isinstance(event_id, str):
            raise ValueError
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError) as error:
        raise ValidationFailed.of("cursor", "is not a cursor of ours; follow `next` as given") from error
    return moment, source, event_id
