"""Whether a month's figures agree before it is billed: rollups with raw events, accrued revenue with what is rated."""

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer
from billing.exact import WIDE, decimal_text, exact_product, money_text
from billing.ledger.accounts import CUSTOMER_ACCRUED
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import period_balance
from billing.metering.catalogue import METERS
from billing.metering.facts import facts_of, rows_of
from billing.metering.measure import measure_asks
from billing.metering.raw import raw_events
from billing.metering.segments import RawPart
from billing.metering.tally import Ask
from billing.metering.windows import Window
from billing.period import Period

#: An event may be committed between two looks; then there is another try.
TRIES = 3
#: Meters that events add up to; what lasts (spans, gauges) has no rollups.
ADDING: Final = tuple(meter for meter in METERS.values() if meter.aggregation in ("sum", "count"))
#: A meter and the canonical JSON of its dimensions.
Key = tuple[str, str]


@dataclass(frozen=True)
class Drift:
    """`usage`: each meter whose rollups and raw events differ. `accrued`: the money where it differs by more than the
    tolerance. Both empty: the figures agree."""

    usage: list[dict[str, Any]]
    accrued: dict[str, Any] | None

    @property
    def found(self) -> bool:
        return bool(self.usage) or self.accrued is not None

    def as_data(self) -> dict[str, Any]:
        return {"usage": self.usage, "accrued": self.accrued}


def drift_of(*, customer: BilledCustomer, period: Period, currency: str, tolerance_permille: int) -> Drift:
    """Usage must agree exactly. Accrued revenue is compared with the charges as they were known when it was last
    accrued, and may differ by `tolerance_permille` of them: events arrive while it is measured."""
    return Drift(_usage(customer, period), _accrued(customer, period, currency, tolerance_permille))


def _usage(customer: BilledCustomer, period: Period) -> list[dict[str, Any]]:
    for _ in range(TRIES):
        rolled = _rollups(customer, period)
        raw = _events(customer, period)
        if rolled == raw:
            return []
        if rolled == _rollups(customer, period):
            break
    return [
        {
            "meter": meter,
            "dimensions": json.loads(dimensions),
            "rollups": decimal_text(rolled.get((meter, dimensions), Decimal(0))),
            "events": decimal_text(raw.get((meter, dimensions), Decimal(0))),
        }
        for meter, dimensions in sorted({*rolled, *raw})
        if rolled.get((meter, dimensions)) != raw.get((meter, dimensions))
    ]


def _rollups(customer: BilledCustomer, period: Period) -> dict[Key, Decimal]:
    asks = [Ask(meter, (Window(period.start, period.end),)) for meter in ADDING]
    answers = measure_asks(tenant_id=customer.id, asks=asks, as_of=period.end)
    return {
        (ask.meter.key, dimensions): value
        for ask, measured in zip(asks, answers, strict=True)
        for (_, dimensions), value in measured.items()
        if value
    }


def _events(customer: BilledCustomer, period: Period) -> dict[Key, Decimal]:
    """The same from the raw events with their corrections, a day at a time: a month may hold millions."""
    known = {meter.key for meter in ADDING}
    found: dict[Key, Decimal] = {}
    for event_type in sorted({str(meter.event_type) for meter in ADDING}):
        start = period.start
        while start < period.end:
            end = min(start + timedelta(days=1), period.end)
            events = raw_events(
                tenant_ids=[customer.id],
                event_type=event_type,
                parts=[RawPart(0, start, end)],
                known_at=None,
            )
            rows = rows_of(facts_of(raw.event for raw in events))
            for (meter, _, dimensions), value in rows.sums.items():
                if meter in known and value:
                    key = (meter, dimensions)
                    found[key] = WIDE.add(found.get(key, Decimal(0)), Decimal(value))
            start = end
    return found


def _accrued(
    customer: BilledCustomer, period: Period, currency: str, tolerance_permille: int
) -> dict[str, Any] | None:
    last = (
        JournalTransaction.objects.filter(
            kind="accrual",
            tenant_id=customer.id,
            currency=currency,
            service_start=period.start,
            service_end=period.end,
        )
        .order_by("-at")
        .first()
    )
    if last is None:
        return None
    accrued = period_balance(
        tenant_id=customer.id, currency=currency, account=CUSTOMER_ACCRUED, period=period
    )
    rated = charges_of(
        customer=customer, period=period, as_of=last.at, known_at=last.at, fallback=customer.fallback
    ).total
    difference = abs(WIDE.subtract(accrued, rated))
    if difference * 1000 <= exact_product(abs(rated), Decimal(tolerance_permille)):
        return None
    return {
        "accrued": money_text(accrued, currency),
        "rated": money_text(rated, currency),
        "currency": currency,
        "accrued_at": last.at.isoformat(),
    }
