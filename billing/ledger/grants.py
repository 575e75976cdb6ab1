"""Reads of credit grants: what is left of each, which can be used, and how they are shown."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from billing.exact import decimal_text, exact_sum
from billing.ledger.accounts import CREDIT_ACCOUNTS
from billing.ledger.models import CreditGrant, JournalEntry
from billing.ledger.selectors import entries_in
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import NotFound


class Credit(TypedDict):
    """A grant as the API shows it. `state` is scheduled, active, used, expired or voided; decimals are strings."""

    id: str
    name: str
    source: str
    currency: str
    amount: str
    remaining: str
    priority: int
    state: str
    effective_at: str
    expires_at: str | None
    voided_at: str | None
    created_at: str


def grants_of(*, tenant_id: UUID) -> QuerySet[CreditGrant]:
    return CreditGrant.objects.filter(tenant_id=tenant_id)


def grant_get(*, tenant_id: UUID, grant_id: UUID) -> CreditGrant:
    """Raises NotFound for another tenant's too."""
    grant = grants_of(tenant_id=tenant_id).filter(pk=grant_id).first()
    if grant is None:
        raise NotFound("There is no such credit.", hint="List the tenant's credits.")
    return grant


def grants_usable(*, tenant_id: UUID, currency: str, at: datetime) -> list[CreditGrant]:
    """Not voided, in this currency, effective at `at` and not expired then; used up ones too."""
    found = grants_of(tenant_id=tenant_id).filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=at),
        currency=currency,
        voided_at__isnull=True,
        effective_at__lte=at,
    )
    return list(found)


def grants_remaining(*, tenant_id: UUID, at: datetime | None = None) -> dict[UUID, Decimal]:
    """What the journal says is left of each grant, as posted until `at`."""
    found = entries_in(tenant_ids=[tenant_id], at=at).filter(
        account__in=list(CREDIT_ACCOUNTS.values()), subject__isnull=False
    )
    sums = found.values("subject").annotate(sum=Sum("amount")).order_by()
    return {row["subject"]: -row["sum"] for row in sums if row["subject"] is not None}


def credit_balances(*, tenant_id: UUID, at: datetime) -> dict[str, Decimal]:
    """Per currency, what could be used at `at` of what the journal held then."""
    remaining = grants_remaining(tenant_id=tenant_id, at=at)
    return balances_usable(grants_of(tenant_id=tenant_id), remaining, at)


def balances_usable(
    grants: Iterable[CreditGrant], remaining: Mapping[UUID, Decimal], at: datetime
) -> dict[str, Decimal]:
    """Of these grants, what could be used at `at`, by currency. Pure."""
    usable = [
        grant for grant in grants if grant_state(grant, remaining.get(grant.id, Decimal(0)), at) == "active"
    ]
    return {
        currency: exact_sum(remaining[grant.id] for grant in usable if grant.currency == currency)
        for currency in sorted({grant.currency for grant in usable})
    }


def credit_entries(*, tenant_id: UUID) -> QuerySet[JournalEntry]:
    """Every movement of the tenant's credits, the newest first; each with its transaction."""
    found = entries_in(tenant_ids=[tenant_id]).filter(account__in=list(CREDIT_ACCOUNTS.values()))
    return found.select_related("transaction").order_by("-transaction__at", "-pk")


def grant_state(grant: CreditGrant, remaining: Decimal, at: datetime) -> str:
    if grant.voided_at is not None and grant.voided_at <= at:
        return "voided"
    if grant.expires_at is not None and grant.expires_at <= at:
        return "expired"
    if grant.effective_at > at:
        return "scheduled"
    return "active" if remaining > 0 else "used"


def credit_representation(grant: CreditGrant, remaining: Mapping[UUID, Decimal], at: datetime) -> Credit:
    left = remaining.get(grant.id, Decimal(0))
    return Credit(
        id=str(grant.id),
        name=grant.name,
        source=grant.source,
        currency=grant.currency,
        amount=decimal_text(grant.amount),
        remaining=decimal_text(left),
        priority=grant.priority,
        state=grant_state(grant, left, at),
        effective_at=moment_text(grant.effective_at),
        expires_at=moment_text_or_none(grant.expires_at),
        voided_at=moment_text_or_none(grant.voided_at),
        created_at=moment_text(grant.created_at),
    )
