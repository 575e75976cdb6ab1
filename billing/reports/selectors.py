"""The usage report of one tenant and month. Reads only."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypedDict, TypeVar
from uuid import UUID

from billing.charges.selectors import Bill, terms_of
from billing.customer import Customer
from billing.exact import WIDE, decimal_text, exact_sum, money_text
from billing.metering.catalogue import METERS, USER, Meter
from billing.metering.gpu_time import gpu_time
from billing.metering.measure import measure_groups
from billing.metering.selectors import totals_asks, totals_told
from billing.metering.tally import Ask, Measured
from billing.metering.totals import MeterTotal
from billing.metering.windows import Window
from billing.period import Period, period_of, period_parse
from billing.rating.cards import RateCard
from billing.rating.rate import BASE_FEE, RatedLines
from billing.reports.insights import (
    Comparison,
    CostPerTask,
    Efficiency,
    GpuHours,
    comparison,
    cost_per_task,
    efficiency,
    gpu_hours,
    meter_sums,
)
from controlplane.core.clock import moment_text

Key = TypeVar("Key", str, int)


class GroupTotal(TypedDict):
    group: str
    value: str


class MeterReport(TypedDict):
    """`groups` are by the meter's first dimension (`grouped_by`); `amount` is what its usage costs so far."""

    meter: str
    unit: str
    description: str
    total: str
    grouped_by: str
    groups: list[GroupTotal]
    amount: str


class DailyTotal(TypedDict):
    date: str
    meter: str
    value: str


class Breakdown(TypedDict):
    """`meters` maps a meter to its total within this group."""

    group: str
    meters: dict[str, str]


class OtherCharge(TypedDict):
    """A line of the bill that is neither the base fee nor a meter's: a fee, a minimum, a discount (below zero), a
    maximum, a trial. `kind` is the line's."""

    kind: str
    description: str
    amount: str


class UsageReport(TypedDict):
    """All quantities and amounts are decimal strings, dates are UTC days.

    `meters` and `daily` hold the meters that saw usage. `estimated_total` is the base fee plus the meters'
    amounts plus `other_charges`, and equals the total of the invoice preview at the same `as_of`. `previous` is null
    for a tenant that was not there in the period before.
    """

    tenant: dict[str, str]
    period: str
    period_from: str
    period_to: str
    generated_at: str
    as_of: str
    currency: str
    rate_card: str
    meters: list[MeterReport]
    daily: list[DailyTotal]
    by_agent: list[Breakdown]
    by_model: list[Breakdown]
    by_outcome: list[Breakdown]
    base_fee: str
    other_charges: list[OtherCharge]
    estimated_total: str
    by_user: list[Breakdown]
    cost_per_task: CostPerTask
    efficiency: Efficiency
    gpu: GpuHours
    previous: Comparison | None


def usage_report(
    *,
    tenant: Customer,
    period: str,
    card: RateCard | None = None,
    as_of: datetime,
    generated_at: datetime | None = None,
) -> UsageReport:
    """`period` is `YYYY-MM`; `card` is the plan's, for a tenant without an agreement.

    Raises ValidationFailed naming `period`. `generated_at` defaults to `as_of`.
    """
    month = period_parse(period)
    terms = terms_of(customer=tenant, known_at=None, fallback=card)
    bill = Bill(month, terms.cuts(month))
    before = period_of(month.start - timedelta(days=1))
    bill_before = Bill(before, terms.cuts(before)) if tenant.created_at < before.end else None
    days = _days(month)
    asked: dict[str, Sequence[Ask]] = {
        "bill": bill.asks,
        "totals": totals_asks(start=month.start, end=month.end),
        "daily": [Ask(meter, days) for meter in METERS.values()],
        "users": _user_asks(month),
    }
    if bill_before is not None:
        asked["bill_before"] = bill_before.asks
        asked["totals_before"] = totals_asks(start=before.start, end=before.end)
    found = measure_groups(tenant_id=tenant.id, groups=asked, as_of=as_of)
    totals = totals_told(asked["totals"], found["totals"])
    rated = bill.rated(found["bill"], as_of)
    used = [meter for meter in METERS.values() if any(total.meter == meter.key for total in totals)]
    return UsageReport(
        tenant={"slug": tenant.slug, "name": tenant.name},
        period=month.key,
        period_from=moment_text(month.start),
        period_to=moment_text(month.end),
        generated_at=moment_text(generated_at or as_of),
        as_of=moment_text(as_of),
        currency=rated.currency,
        rate_card=f"{rated.card_key} v{rated.card_version}",
        meters=[_meter(meter, totals, rated) for meter in used],
        daily=_daily(days, asked["daily"], found["daily"], as_of),
        by_agent=_breakdown(totals, "agent"),
        by_model=_breakdown(totals, "model"),
        by_outcome=_breakdown(totals, "outcome"),
        base_fee=money_text(rated.amount_of(BASE_FEE), rated.currency),
        other_charges=_other(rated, used),
        estimated_total=money_text(rated.total, rated.currency),
        by_user=_by_user(asked["users"], found["users"]),
        cost_per_task=cost_per_task(totals, amount=rated.total, fees=fees_of(rated)),
        efficiency=efficiency(totals),
        gpu=gpu_of(tenant.id, totals, month, as_of),
        previous=None
        if bill_before is None
        else comparison(
            period=before.key,
            complete=as_of >= month.end,
            currency=rated.currency,
            total=rated.total,
            previous_currency=(charged := bill_before.rated(found["bill_before"], as_of)).currency,
            previous_total=charged.total,
            sums=meter_sums(totals),
            previous_sums=meter_sums(totals_told(asked["totals_before"], found["totals_before"])),
        ),
    )


def fees_of(rated: RatedLines) -> Decimal:
    """What is owed whatever was used."""
    return exact_sum(line.amount for line in rated.lines if line.kind != "usage")


def _other(rated: RatedLines, meters: Sequence[Meter]) -> list[OtherCharge]:
    """Every line that no other figure of the report holds, so that all of them add up to the total."""
    held = {BASE_FEE, *(meter.key for meter in meters)}
    return [
        OtherCharge(
            kind=line.kind, description=line.description, amount=money_text(line.amount, rated.currency)
        )
        for line in rated.lines
        if line.meter not in held
    ]


def _user_asks(month: Period) -> list[Ask]:
    """Of the meters that are kept by user."""
    windows = (Window(month.start, month.end),)
    return [Ask(meter, windows, (USER,)) for meter in METERS.values() if meter.by_user]


def _by_user(asks: Sequence[Ask], found: Sequence[Measured]) -> list[Breakdown]:
    users: dict[str, dict[str, str]] = defaultdict(dict)
    for ask, measured in zip(asks, found, strict=True):
        for (_, dimensions), value in measured.items():
            users[str(json.loads(dimensions)[USER])][ask.meter.key] = decimal_text(value)
    return [Breakdown(group=user, meters=users[user]) for user in sorted(users)]


def gpu_of(tenant_id: UUID, totals: Sequence[MeterTotal], month: Period, as_of: datetime) -> GpuHours:
    paid = meter_sums(totals).get("gpu_hours", Decimal(0))
    if not paid:
        return gpu_hours(Decimal(0), Decimal(0))
    time = gpu_time(tenant_id=tenant_id, start=month.start, end=month.end, as_of=as_of)
    return gpu_hours(paid, time.busy)


def _meter(meter: Meter, totals: Sequence[MeterTotal], rated: RatedLines) -> MeterReport:
    own = [total for total in totals if total.meter == meter.key]
    by = meter.dimensions[0]
    groups = _sums((total.dimension(by), total.value) for total in own)
    return MeterReport(
        meter=meter.key,
        unit=meter.unit,
        description=meter.description,
        total=decimal_text(exact_sum(total.value for total in own)),
        grouped_by=by,
        groups=[GroupTotal(group=group, value=decimal_text(groups[group])) for group in sorted(groups)],
        amount=money_text(rated.amount_of(meter.key), rated.currency),
    )


def _days(month: Period) -> tuple[Window, ...]:
    count = (month.end - month.start).days
    starts = [month.start + timedelta(days=number) for number in range(count + 1)]
    return tuple(Window(*pair) for pair in itertools.pairwise(starts))


def _daily(
    days: Sequence[Window], asks: Sequence[Ask], found: Sequence[Measured], as_of: datetime
) -> list[DailyTotal]:
    """One row per day without usage too, so that a chart needs no gaps filled; none after `as_of`, and none of meters
    without usage."""
    rows = []
    for ask, measured in zip(asks, found, strict=True):
        if not measured:
            continue
        sums = _sums((index, value) for (index, _), value in measured.items())
        rows += [
            DailyTotal(
                date=f"{window.start:%Y-%m-%d}",
                meter=ask.meter.key,
                value=decimal_text(sums.get(index, Decimal(0))),
            )
            for index, window in enumerate(days)
            if index in sums or window.start <= as_of
        ]
    return rows


def _breakdown(totals: Sequence[MeterTotal], dimension: str) -> list[Breakdown]:
    # Not of spans: the "model" of a GPU is another thing than that of a model call.
    having = [
        total
        for total in totals
        if METERS[total.meter].event_type is not None
        and METERS[total.meter].additive
        and dimension in METERS[total.meter].dimensions
    ]
    found = []
    for group in sorted({total.dimension(dimension) for total in having}):
        sums = _sums((total.meter, total.value) for total in having if total.dimension(dimension) == group)
        meters = {meter: decimal_text(value) for meter, value in sums.items()}
        found.append(Breakdown(group=group, meters=meters))
    return found


def _sums(pairs: Iterable[tuple[Key, Decimal]]) -> dict[Key, Decimal]:
    sums: dict[Key, Decimal] = defaultdict(Decimal)
    for key, value in pairs:
        sums[key] = WIDE.add(sums[key], value)
    return dict(sums)
