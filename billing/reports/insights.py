"""What a report says beyond totals: what a task costs, how efficient it was, how it compares. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypedDict

from billing.exact import WIDE, decimal_text, exact_sum, money_text, quantity
from billing.metering.catalogue import METERS
from billing.metering.totals import MeterTotal

TOKENS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_READ_TOKENS: Final = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
_PLACES: Final = Decimal("0.000001")


class CostPerTask(TypedDict):
    """A task is a run that succeeded. `cost` is the whole amount for each of them, `usage_cost` without fees; null
    where none succeeded. Six places at most."""

    successful_runs: str
    cost: str | None
    usage_cost: str | None


class Efficiency(TypedDict):
    """Shares are from 0 to 1; null where there is nothing to divide by. `cached_share`: of the tokens that models read,
    how many came from their cache."""

    runs: str
    success_rate: str | None
    tokens: str
    tokens_per_run: str | None
    cached_share: str | None
    tool_calls_per_run: str | None


class GpuHours(TypedDict):
    """`busy`: hours of GPUs while at least one run was executed; `idle` is paid and not busy."""

    paid: str
    busy: str
    idle: str
    busy_share: str | None


class MeterChange(TypedDict):
    meter: str
    total: str
    previous: str
    change_percent: str | None


class Comparison(TypedDict):
    """With the whole period before. `complete` is false while the period still runs: it is then compared as it is so
    far. Percentages are rounded to two places, and null where there was nothing before."""

    period: str
    complete: bool
    currency: str
    estimated_total: str
    change: str | None
    change_percent: str | None
    meters: list[MeterChange]


def meter_sums(totals: Iterable[MeterTotal]) -> dict[str, Decimal]:
    """Without meters that do not add up, such as a number of users."""
    sums: dict[str, Decimal] = {}
    for total in totals:
        if not METERS[total.meter].additive:
            continue
        sums[total.meter] = WIDE.add(sums.get(total.meter, Decimal(0)), total.value)
    return sums


def runs_successful(totals: Iterable[MeterTotal]) -> Decimal:
    return exact_sum(
        total.value
        for total in totals
        if total.meter == "agent_runs" and total.dimension("outcome") == "success"
    )


def cost_per_task(totals: Sequence[MeterTotal], *, amount: Decimal, fees: Decimal) -> CostPerTask:
    """`amount` is the period's total, `fees` the part of it that no usage caused."""
    tasks = runs_successful(totals)
    return CostPerTask(
        successful_runs=decimal_text(tasks),
        cost=ratio_text(amount, tasks),
        usage_cost=ratio_text(WIDE.subtract(amount, fees), tasks),
    )


def efficiency(totals: Sequence[MeterTotal]) -> Efficiency:
    sums = meter_sums(totals)
    runs = sums.get("agent_runs", Decimal(0))
    tokens = exact_sum(sums.get(meter, Decimal(0)) for meter in TOKENS)
    read = exact_sum(sums.get(meter, Decimal(0)) for meter in _READ_TOKENS)
    return Efficiency(
        runs=decimal_text(runs),
        success_rate=ratio_text(runs_successful(totals), runs),
        tokens=decimal_text(tokens),
        tokens_per_run=ratio_text(tokens, runs),
        cached_share=ratio_text(sums.get("cached_input_tokens", Decimal(0)), read),
        tool_calls_per_run=ratio_text(sums.get("tool_calls", Decimal(0)), runs),
    )


def gpu_hours(paid: Decimal, busy: Decimal) -> GpuHours:
    busy = min(busy, paid)
    return GpuHours(
        paid=decimal_text(paid),
        busy=decimal_text(busy),
        idle=decimal_text(WIDE.subtract(paid, busy)),
        busy_share=ratio_text(busy, paid),
    )


def comparison(
    *,
    period: str,
    complete: bool,
    currency: str,
    total: Decimal,
    previous_currency: str,
    previous_total: Decimal,
    sums: Mapping[str, Decimal],
    previous_sums: Mapping[str, Decimal],
) -> Comparison:
    """Amounts of two currencies are not compared: then `change` is null."""
    same = currency == previous_currency
    meters = [meter for meter in dict.fromkeys((*sums, *previous_sums))]
    return Comparison(
        period=period,
        complete=complete,
        currency=previous_currency,
        estimated_total=money_text(previous_total, previous_currency),
        change=money_text(WIDE.subtract(total, previous_total), currency) if same else None,
        change_percent=change_percent(total, previous_total) if same else None,
        meters=[
            MeterChange(
                meter=meter,
                total=decimal_text(sums.get(meter, Decimal(0))),
                previous=decimal_text(previous_sums.get(meter, Decimal(0))),
                change_percent=change_percent(
                    sums.get(meter, Decimal(0)), previous_sums.get(meter, Decimal(0))
                ),
            )
            for meter in meters
        ],
    )


def change_percent(after: Decimal, before: Decimal) -> str | None:
    if not before:
        return None
    share = WIDE.divide(WIDE.multiply(WIDE.subtract(after, before), Decimal(100)), before)
    return decimal_text(share.quantize(Decimal("0.01"), context=WIDE))


def ratio_text(numerator: Decimal, denominator: Decimal) -> str | None:
    """To six places; None for a denominator of zero."""
    if not denominator:
        return None
    return decimal_text(quantity(numerator, denominator).quantize(_PLACES, context=WIDE))
