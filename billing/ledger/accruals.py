"""What was earned and is not invoiced yet, posted by the day for every customer."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer, directory
from billing.ledger.postings import revenue_accrue
from billing.period import Period, period_of
from controlplane.core.errors import FreeholdError

log = structlog.get_logger()


def accruals_post(*, now: datetime) -> int:
    """Brings this month's accrual, and last month's while it is not invoiced, to what the charges are now.

    How many were posted. A customer whose charges cannot be told is logged and stays as it was: one wrong card must
    not stop the books of all others.
    """
    month = period_of(now)
    earlier = period_of(month.start - timedelta(days=1))
    posted = 0
    for customer in directory().customers():
        for period in (earlier, month):
            if customer.lived_in(period):
                posted += _accrue(customer, period, now)
    return posted


def _accrue(customer: BilledCustomer, period: Period, now: datetime) -> bool:
    try:
        rated = charges_of(customer=customer, period=period, as_of=now, fallback=customer.fallback)
    except (FreeholdError, ValueError) as error:
        log.error("accrual failed", tenant=customer.slug, period=period.key, error=str(error))
        return False
    with transaction.atomic():
        difference = revenue_accrue(
            tenant_id=customer.id, period=period, currency=rated.currency, accrued_total=rated.total, at=now
        )
    return bool(difference)
