"""Whose cost it is: from a tenant's slug, as resources are tagged with it, to the tenant that had it then. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from uuid import UUID

from billing.directory import BilledCustomer


class Claims:
    """Slugs are given anew after a tenant has ended, so that a tag means different tenants on different days."""

    def __init__(self, customers: Iterable[BilledCustomer]) -> None:
        self._by_slug: dict[str, list[BilledCustomer]] = defaultdict(list)
        for customer in sorted(customers, key=lambda each: each.created_at):
            self._by_slug[customer.slug].append(customer)

    def tenant_of(self, tag: str, day: date) -> UUID | None:
        """The last one created until that day, since its resources may be billed after it ended; None for a tag
        nobody has."""
        having = self._by_slug.get(tag, [])
        began = [each for each in having if each.created_at.date() <= day]
        found = began[-1:] or having[:1]
        return found[0].id if found else None

    def tenant_ids(self) -> list[UUID]:
        return [each.id for customers in self._by_slug.values() for each in customers]
