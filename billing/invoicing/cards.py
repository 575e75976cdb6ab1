"""Which rate cards, with their prices as agreed, an invoice was rated by: kept on it, to explain it by for ever."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.charges.cuts import windows_of_cuts
from billing.charges.selectors import terms_of
from billing.customer import Customer
from billing.invoicing.models import Invoice, InvoiceLine
from billing.period import Period
from billing.rating.cards import RateCard


@dataclass(frozen=True)
class CardInForce:
    """A card with its contract's overrides, in force over [start, end), and what usage was measured for it: the whole
    period is shared out among its cards, so a first one also charges what was used before the agreement began."""

    start: datetime
    end: datetime
    measured_start: datetime
    measured_end: datetime
    card: dict[str, Any]


def cards_in_force(
    *, customer: Customer, period: Period, known_at: datetime, fallback: RateCard
) -> list[dict[str, Any]]:
    """As an invoice keeps them: JSON, in the order of time."""
    cuts = terms_of(customer=customer, known_at=known_at, fallback=fallback).cuts(period)
    return [
        {
            "from": cut.start.isoformat(),
            "to": cut.end.isoformat(),
            "measured_from": start.isoformat(),
            "measured_to": end.isoformat(),
            "card": cut.card.model_dump(mode="json"),
        }
        for cut, (start, end) in zip(cuts, windows_of_cuts(cuts, period), strict=True)
    ]


def card_of_line(invoice: Invoice, line: InvoiceLine) -> CardInForce | None:
    """The one the line names, over its service period; None where the invoice does not know it."""
    named = [
        found
        for found in map(_read, invoice.cards)
        if (found.card["key"], found.card["version"]) == (line.rate_card_key, line.rate_card_version)
    ]
    exact = [found for found in named if found.start == line.start]
    return next(iter(exact or named), None)


def _read(kept: Mapping[str, Any]) -> CardInForce:
    return CardInForce(
        start=datetime.fromisoformat(kept["from"]),
        end=datetime.fromisoformat(kept["to"]),
        measured_start=datetime.fromisoformat(kept["measured_from"]),
        measured_end=datetime.fromisoformat(kept["measured_to"]),
        card=kept["card"],
    )
