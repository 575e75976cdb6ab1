"""Every customer there is, through a port: billing may not import tenants, so the setting BILLING_CUSTOMERS names
who knows them (controlplane/tenants/billed.py)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from billing.period import Period
from billing.rating.cards import RateCard


@dataclass(frozen=True)
class BilledCustomer:
    """A `Customer` with what billing by the clock needs besides: whose it is, when it ended, its plan's prices.

    `rate_card` is the plan's card as data, for a customer without an agreement; `ended_at` is None while it lives.
    """

    id: UUID
    team_id: UUID
    slug: str
    name: str
    created_at: datetime
    ended_at: datetime | None
    contact_email: str
    rate_card: Mapping[str, Any]

    @property
    def fallback(self) -> RateCard:
        return RateCard.model_validate(self.rate_card)

    def lived_in(self, period: Period) -> bool:
        return self.created_at < period.end and (self.ended_at is None or self.ended_at > period.start)


class CustomerDirectory(Protocol):
    """Ended customers are in it too, for their last invoice."""

    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        """In the order they were created; of every team, or of one."""
        ...

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None: ...


def directory() -> CustomerDirectory:
    found: CustomerDirectory = import_string(settings.BILLING_CUSTOMERS)()
    return found
