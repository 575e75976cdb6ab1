"""What a budget is compared with, asked of the same door as the bill. Reads only."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from billing.budgets.forecast import Spend, spend_of, spend_sum
from billing.budgets.models import Budget
from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer, directory
from billing.exact import decimal_text, money_text
from billing.period import Period, period_of
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, NotFound


class TenantFigures(TypedDict):
    tenant: str
    spent: str
    forecast: str


class Figures(TypedDict):
    """`run_rate` is for an hour of what is open, `committed` the part of `spent` that is owed whatever is used.
    `tenants`: of a fleet budget, the most expensive first, at most 100."""

    period: str
    currency: str
    spent: str
    committed: str
    run_rate: str
    forecast: str
    as_of: str
    tenants: list[TenantFigures]


@dataclass
class Spends:
    """The spend of customers at one moment, each asked for once however many budgets look at it."""

    as_of: datetime
    known: dict[UUID, Spend] = field(default_factory=dict)

    @property
    def period(self) -> Period:
        return period_of(self.as_of)

    def of(self, customer: BilledCustomer) -> Spend:
        found = self.known.get(customer.id)
        if found is None:
            found = self.known[customer.id] = self._ask(customer)
        return found

    def _ask(self, customer: BilledCustomer) -> Spend:
        period, card = self.period, customer.fallback
        now = charges_of(customer=customer, period=period, as_of=self.as_of, fallback=card)
        ends = period.end if customer.ended_at is None else max(customer.ended_at, self.as_of)
        at_end = charges_of(
            customer=customer, period=period, as_of=min(ends, period.end), known_at=None, fallback=card
        )
        return spend_of(now, at_end, period=period, as_of=self.as_of, since=customer.created_at)


def customers_of(budget: Budget, period: Period) -> list[BilledCustomer]:
    """Whom the budget is about: ended ones too, as long as the period bills them."""
    if budget.tenant_id is not None:
        customer = directory().customer(tenant_id=budget.tenant_id)
        if customer is None:
            raise NotFound("The tenant of this budget is not known.")
        return [customer]
    return [each for each in directory().customers(team_id=budget.team_id) if each.lived_in(period)]


def budget_spend(budget: Budget, spends: Spends) -> tuple[Spend, Figures]:
    """Raises FreeholdError where it cannot be told, such as for a customer billed in another currency."""
    parts = [(customer, spends.of(customer)) for customer in customers_of(budget, spends.period)]
    for customer, spend in parts:
        if spend.currency != budget.currency:
            raise Conflict(
                f"{customer.slug} is billed in {spend.currency}, the budget is in {budget.currency}.",
                code="budget_currency",
                hint="Give the budget the currency of its tenants.",
            )
    total = spend_sum([spend for _, spend in parts], budget.currency)
    costly = sorted(parts, key=lambda part: (-part[1].spent, part[0].slug))[:100]
    return total, Figures(
        period=spends.period.key,
        currency=budget.currency,
        spent=money_text(total.spent, budget.currency),
        committed=money_text(total.committed, budget.currency),
        run_rate=decimal_text(total.run_rate),
        forecast=money_text(total.forecast, budget.currency),
        as_of=moment_text(spends.as_of),
        tenants=[
            TenantFigures(
                tenant=customer.slug,
                spent=money_text(spend.spent, budget.currency),
                forecast=money_text(spend.forecast, budget.currency),
            )
            for customer, spend in costly
        ]
        if budget.tenant_id is None
        else [],
    )
