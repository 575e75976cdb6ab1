"""GPU hours as the customer is charged for them. Reads only."""

from datetime import datetime
from decimal import Decimal

from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer
from billing.exact import exact_sum
from billing.period import Period


def billed_gpu_hours(*, customer: BilledCustomer, period: Period, as_of: datetime) -> Decimal:
    """What the period's rated lines charge of the meter `gpu_hours`, after allowances."""
    rated = charges_of(customer=customer, period=period, as_of=as_of, fallback=customer.fallback)
    charged = [line.quantity for line in rated.lines if line.meter == "gpu_hours" and line.kind == "usage"]
    return exact_sum(charged)
