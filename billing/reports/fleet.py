"""The usage report of several tenants and one month. Each row is that tenant's own report, and so its bill."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypedDict

from billing.charges.selectors import Bill, terms_of
from billing.directory import BilledCustomer
from billing.exact import decimal_text, exact_sum, money_text
from billing.metering.catalogue import METERS
from billing.metering.measure import measure_groups
from billing.metering.selectors import totals_asks, totals_told
from billing.metering.tally import Ask
from billing.metering.totals import MeterTotal
from billing.period import Period, period_of, period_parse
from billing.reports.insights import (
    CostPerTask,
    Efficiency,
    GpuHours,
    change_percent,
    cost_per_task,
    efficiency,
    meter_sums,
)
from billing.reports.selectors import fees_of, gpu_of
from controlplane.core.clock import moment_text


class FleetRow(TypedDict):
    """One tenant. `previous_total` is the whole month before; null for a tenant that was not there."""

    tenant: str
    name: str
    currency: str
    rate_card: str
    base_fee: str
    estimated_total: str
    previous_total: str | None
    change_percent: str | None
    meters: dict[str, str]
    cost_per_task: CostPerTask
    efficiency: Efficiency
    gpu: GpuHours


class CurrencyTotal(TypedDict):
    """Amounts of different currencies are never added up."""

    currency: str
    tenants: int
    estimated_total: str


class FleetMeter(TypedDict):
    meter: str
    unit: str
    description: str
    total: str


class FleetReport(TypedDict):
    """`tenants`: the most expensive first within a currency. Meters that do not add up over tenants have no total
    here."""

    period: str
    period_from: str
    period_to: str
    generated_at: str
    as_of: str
    totals: list[CurrencyTotal]
    meters: list[FleetMeter]
    efficiency: Efficiency
    tenants: list[FleetRow]


def fleet_report(*, customers: Sequence[BilledCustomer], period: str, as_of: datetime) -> FleetReport:
    """Of the customers that lived in the month. Raises ValidationFailed naming `period`."""
    month = period_parse(period)
    rows: list[tuple[Decimal, FleetRow]] = []
    every: list[MeterTotal] = []
    for customer in customers:
        if customer.lived_in(month):
            total, row, totals = _row(customer, month, as_of)
            rows.append((total, row))
            every += totals
    rows.sort(key=lambda pair: (pair[1]["currency"], -pair[0], pair[1]["tenant"]))
    sums = meter_sums(every)
    return FleetReport(
        period=month.key,
        period_from=moment_text(month.start),
        period_to=moment_text(month.end),
        generated_at=moment_text(as_of),
        as_of=moment_text(as_of),
        totals=_by_currency(rows),
        meters=[
            FleetMeter(
                meter=meter.key,
                unit=meter.unit,
                description=meter.description,
                total=decimal_text(sums[meter.key]),
            )
            for meter in METERS.values()
            if meter.key in sums
        ],
        efficiency=efficiency(every),
        tenants=[row for _, row in rows],
    )


def _row(
    customer: BilledCustomer, month: Period, as_of: datetime
) -> tuple[Decimal, FleetRow, list[MeterTotal]]:
    terms = terms_of(customer=customer, known_at=None, fallback=customer.fallback)
    before = period_of(month.start - timedelta(days=1))
    bills = {"now": Bill(month, terms.cuts(month))}
    if customer.lived_in(before):
        bills["before"] = Bill(before, terms.cuts(before))
    asked: dict[str, Sequence[Ask]] = {name: bill.asks for name, bill in bills.items()}
    asked["totals"] = totals_asks(start=month.start, end=month.end)
    found = measure_groups(tenant_id=customer.id, groups=asked, as_of=as_of)
    totals = totals_told(asked["totals"], found["totals"])
    rated = bills["now"].rated(found["now"], as_of)
    previous = bills["before"].rated(found["before"], as_of) if "before" in bills else None
    comparable = previous is not None and previous.currency == rated.currency
    row = FleetRow(
        tenant=customer.slug,
        name=customer.name,
        currency=rated.currency,
        rate_card=f"{rated.card_key} v{rated.card_version}",
        base_fee=money_text(rated.amount_of("base_fee"), rated.currency),
        estimated_total=money_text(rated.total, rated.currency),
        previous_total=money_text(previous.total, previous.currency) if previous and comparable else None,
        change_percent=change_percent(rated.total, previous.total) if previous and comparable else None,
        meters={meter: decimal_text(value) for meter, value in meter_sums(totals).items()},
        cost_per_task=cost_per_task(totals, amount=rated.total, fees=fees_of(rated)),
        efficiency=efficiency(totals),
        gpu=gpu_of(customer.id, totals, month, as_of),
    )
    return rated.total, row, totals


def _by_currency(rows: Sequence[tuple[Decimal, FleetRow]]) -> list[CurrencyTotal]:
    found: dict[str, list[Decimal]] = {}
    for total, row in rows:
        found.setdefault(row["currency"], []).append(total)
    return [
        CurrencyTotal(
            currency=currency,
            tenants=len(totals),
            estimated_total=money_text(exact_sum(totals), currency),
        )
        for currency, totals in found.items()
    ]
