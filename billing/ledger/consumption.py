"""Which credits are used first, and how much of each. Pure.

The order: the smaller priority, then the one that expires earlier (one without an end comes last), then promotional
before bought ones, then the one effective earlier, then the older one. Source: the order of Stripe's billing
credits, so that a customer who knows one knows the other.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from billing.exact import WIDE
from billing.ledger.models import PROMOTION, CreditGrant

_NEVER = datetime.max.replace(tzinfo=UTC)


def consumption_order(grant: CreditGrant) -> tuple[int, datetime, bool, datetime, datetime, UUID]:
    return (
        grant.priority,
        grant.expires_at or _NEVER,
        grant.source != PROMOTION,
        grant.effective_at,
        grant.created_at,
        grant.id,
    )


def consumption(
    grants: Iterable[CreditGrant], remaining: Mapping[UUID, Decimal], up_to: Decimal
) -> list[tuple[CreditGrant, Decimal]]:
    """(grant, amount) in the order of use; together at most `up_to`, each at most what remains of it."""
    taken = []
    for grant in sorted(grants, key=consumption_order):
        amount = min(remaining.get(grant.id, Decimal(0)), up_to)
        if amount > 0:
            taken.append((grant, amount))
            up_to = WIDE.subtract(up_to, amount)
    return taken
