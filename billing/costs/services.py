"""Costs by the clock: what every day cost each customer, posted once the day is over."""

from datetime import datetime

import structlog

from billing.costs.days import day_period, days_before
from billing.costs.estimates import infrastructure_estimate
from billing.costs.overhead import overhead_distribute
from billing.costs.stacks import stack_costs
from billing.costs.vendors import model_costs_post
from billing.directory import directory
from billing.period import period_of

log = structlog.get_logger()

#: So long a scheduler may have stood still, or an event of model usage have been on its way, without a day missing.
LOOK_BACK_DAYS = 35


def costs_post(*, now: datetime) -> int:
    """Estimates and model costs of the last days, then overhead by what came of them. How many customers it saw.

    Days that were posted stay; only differences of model costs are posted again.
    """
    customers = list(directory().customers())
    days = list(days_before(now, LOOK_BACK_DAYS))
    months = sorted({period_of(day_period(day).start) for day in days}, key=lambda period: period.start)
    for customer in customers:
        lived = [day for day in days if customer.lived_in(day_period(day))]
        costs = stack_costs().costs(tenant_id=customer.id, until=now) if lived else []
        for day in lived:
            infrastructure_estimate(tenant_id=customer.id, day=day, costs=costs, at=now)
            for unpriced in model_costs_post(tenant_id=customer.id, day=day, at=now):
                log.warning(
                    "no price for tokens", tenant=customer.slug, day=str(day), model=unpriced.model,
                    meter=unpriced.meter,
                )  # fmt: skip
    for team_id in sorted({customer.team_id for customer in customers}):
        own = [customer for customer in customers if customer.team_id == team_id]
        for month in months:
            overhead_distribute(
                pool_id=team_id, tenant_ids=[customer.id for customer in own], period=month, at=now
            )
    return len(customers)
