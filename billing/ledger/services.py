"""Credits as they are given, taken back and left to expire; each with its postings and its audit row."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from billing.currencies import MINOR_PLACES, minor_unit
from billing.exact import decimal_text
from billing.ledger import accounts
from billing.ledger.grants import grants_remaining
from billing.ledger.journal import Entry, journal_post
from billing.ledger.locks import book_lock
from billing.ledger.models import PROMOTION, SOURCES, CreditGrant, JournalEntry, JournalTransaction
from billing.ledger.settlement import grant_unused
from billing.period import Period, period_of
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, ValidationFailed


def credit_grant_create(
    *,
    tenant_id: UUID,
    team_id: UUID,
    name: str,
    source: str,
    currency: str,
    amount: Decimal,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    reason: str = "",
    actor: str,
    now: datetime,
) -> CreditGrant:
    """Gives credit from `effective_at` (by default now) until `expires_at` (by default for ever).

    Bought credit is owed from now on, against what was paid for it. `reason` is kept with the posting and in the audit
    log; the customer does not see it. Raises ValidationFailed naming the field.
    """
    effective = effective_at or now
    _terms_check(source, currency, amount, effective, expires_at, now)
    with transaction.atomic():
        grant = CreditGrant.objects.create(
            tenant_id=tenant_id,
            name=name,
            source=source,
            currency=currency,
            amount=amount,
            priority=priority,
            effective_at=effective,
            expires_at=expires_at,
            created_at=now,
        )
        against = accounts.PROMOTIONAL_ISSUED if source == PROMOTION else accounts.CASH
        journal_post(
            key=f"credit:{grant.id}",
            kind="credit_grant",
            at=now,
            tenant_id=tenant_id,
            currency=currency,
            entries=[
                Entry(against, amount, grant.id if source == PROMOTION else None),
                Entry(accounts.CREDIT_ACCOUNTS[source], -amount, grant.id),
            ],
            about=f"Credit granted: {name}",
            data={"reason": reason} if reason else {},
        )
        _audit(grant, team_id, actor, "credit.granted", now, reason)
    return grant


def credit_grant_void(*, grant: CreditGrant, team_id: UUID, actor: str, now: datetime) -> CreditGrant:
    """Takes back what is left of a grant; of a bought one it is owed back to the customer.

    Raises Conflict (`credit_not_voidable`) for one that has expired or was voided.
    """
    with transaction.atomic():
        book_lock(grant.tenant_id)
        alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        if CreditGrant.objects.filter(alive, pk=grant.pk, voided_at__isnull=True).update(voided_at=now) != 1:
            raise Conflict("This credit has expired or was voided already.", code="credit_not_voidable")
        grant.refresh_from_db()
        _rest_post(grant, "credit_void", against=accounts.REFUND_PAYABLE, at=now, period=period_of(now))
        _audit(grant, team_id, actor, "credit.voided", now)
    return grant


def credits_expire(*, now: datetime) -> int:
    """Posts what is left of grants that have expired: bought credit becomes breakage. How many it posted for.

    Each in a transaction of its own. Credit that came back to a grant that had ended (its invoice was voided) is
    posted by the next call: to breakage after an expiry, owed back to the customer after a void.
    """
    ended = CreditGrant.objects.filter(Q(voided_at__lte=now) | Q(expires_at__lte=now), pk__in=_unused())
    return sum(_end(grant, now) for grant in ended.order_by("pk"))


def _unused() -> QuerySet[JournalEntry, UUID | None]:
    """The grants that the journal holds something of."""
    entries = JournalEntry.objects.filter(
        account__in=list(accounts.CREDIT_ACCOUNTS.values()), subject__isnull=False
    )
    sums = entries.order_by().values("subject").annotate(sum=Sum("amount")).exclude(sum=0)
    return sums.values_list("subject", flat=True)


def _end(grant: CreditGrant, now: datetime) -> bool:
    with transaction.atomic():
        book_lock(grant.tenant_id)
        if grant.voided_at is not None:
            return _rest_post(
                grant, "credit_void", against=accounts.REFUND_PAYABLE, at=now, period=period_of(now)
            )
        assert grant.expires_at is not None
        period = period_of(grant.expires_at)
        return _rest_post(grant, "credit_expiry", against=accounts.REVENUE_BREAKAGE, at=now, period=period)


def _rest_post(grant: CreditGrant, kind: str, *, against: str, at: datetime, period: Period) -> bool:
    """Takes what is left of the grant, if anything is. Needs the lock of its book."""
    rest = grants_remaining(tenant_id=grant.tenant_id).get(grant.id, Decimal(0))
    if not rest:
        return False
    key = f"credit:{grant.id}:{kind}"
    earlier = JournalTransaction.objects.filter(key__startswith=f"{key}:").count()
    journal_post(
        key=f"{key}:{earlier + 1}",
        kind=kind,
        at=at,
        tenant_id=grant.tenant_id,
        currency=grant.currency,
        entries=grant_unused(grant, rest, against=against),
        about=f"Credit unused: {grant.name}",
        period=period,
    )
    return True


def _terms_check(
    source: str,
    currency: str,
    amount: Decimal,
    effective_at: datetime,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    if source not in SOURCES:
        raise ValidationFailed.of("source", f"must be one of {', '.join(SOURCES)}")
    if currency not in MINOR_PLACES:
        raise ValidationFailed.of("currency", "is not a currency that can be billed in")
    if amount <= 0 or amount % minor_unit(currency):
        raise ValidationFailed.of("amount", f"must be positive, in whole {minor_unit(currency)} {currency}")
    if expires_at is not None and expires_at <= max(effective_at, now):
        raise ValidationFailed.of("expires_at", "must lie after effective_at and in the future")


def _audit(
    grant: CreditGrant, team_id: UUID, actor: str, action: str, now: datetime, reason: str = ""
) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=action,
        subject_type="credit",
        subject_id=str(grant.id),
        team_id=team_id,
        data={
            "tenant": str(grant.tenant_id),
            "name": grant.name,
            "source": grant.source,
            "amount": decimal_text(grant.amount),
            "currency": grant.currency,
            **({"reason": reason} if reason else {}),
        },
    )
