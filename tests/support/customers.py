"""A directory of customers, and the costs of their stacks, that a test fills by hand; and the fixture that puts them
in the place of the real ones."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

from billing.costs.stacks import StackCost
from billing.directory import BilledCustomer

TEAM = UUID(int=5)


class ListedCustomers:
    every: ClassVar[list[BilledCustomer]] = []

    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        return iter([each for each in self.every if team_id in (None, each.team_id)])

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None:
        return next((each for each in self.every if each.id == tenant_id), None)

    def add(self, slug: str = "acme", **fields: Any) -> BilledCustomer:
        card = {"key": "pro", "version": 1, "base_fee": "31", "prices": []}
        usual = {
            "id": uuid4(),
            "team_id": TEAM,
            "name": slug.title(),
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "ended_at": None,
            "contact_email": "",
            "rate_card": card,
        }
        self.every.append(BilledCustomer(slug=slug, **{**usual, **fields}))
        return self.every[-1]


class ListedStackCosts:
    held: ClassVar[dict[UUID, list[StackCost]]] = {}

    def costs(self, *, tenant_id: UUID, until: datetime) -> list[StackCost]:
        return [each for each in self.held.get(tenant_id, []) if each.since < until]


@pytest.fixture
def customers(settings: Any) -> Iterator[ListedCustomers]:
    settings.BILLING_CUSTOMERS = f"{__name__}.ListedCustomers"
    settings.BILLING_STACK_COSTS = f"{__name__}.ListedStackCosts"
    ListedCustomers.every.clear()
    ListedStackCosts.held.clear()
    yield ListedCustomers()
    ListedCustomers.every.clear()
    ListedStackCosts.held.clear()
