"""Changes of budgets. Each is one transaction with its audit row."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from billing.budgets.evaluate import ACTOR, hold_settle, source_of
from billing.budgets.models import CLOSED, OPEN, Budget
from billing.budgets.selectors import budget_etag
from billing.budgets.thresholds import DEFAULT, thresholds_parse
from billing.currencies import MINOR_PLACES, minor_unit
from billing.exact import WIDE, money_text
from billing.standing.selectors import tenants_held
from billing.standing.services import standing_release
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, PreconditionFailed, ValidationFailed
from controlplane.core.outbound.recipients import emails_check
from controlplane.core.outbound.services import endpoint_create, endpoint_remove

#: What budget_update may change. The currency is part of what a budget is.
CHANGEABLE: Final = (
    "name",
    "amount",
    "thresholds",
    "on_unknown",
    "resume_afterwards",
    "emails",
    "webhook_url",
)
#: For one tenant, or for the fleet.
MOST_BUDGETS: Final = 20
_LARGEST: Final = Decimal("1e15")


@transaction.atomic
def budget_create(
    *,
    team_id: UUID,
    tenant_id: UUID | None,
    name: str,
    amount: Decimal,
    currency: str,
    actor: str,
    now: datetime,
    secret_bytes: bytes,
    thresholds: Sequence[Mapping[str, Any]] | None = None,
    on_unknown: str = OPEN,
    resume_afterwards: bool = False,
    emails: Sequence[str] = (),
    webhook_url: str | None = None,
) -> tuple[Budget, str | None]:
    """The budget, to be evaluated at once, and the secret of its webhook, which is shown this one time.

    `tenant_id` None: all tenants of the team. Raises ValidationFailed naming each wrong field, Conflict
    (`too_many_budgets`).
    """
    if Budget.objects.filter(team_id=team_id, tenant_id=tenant_id).count() >= MOST_BUDGETS:
        raise Conflict(f"There are {MOST_BUDGETS} budgets already.", code="too_many_budgets")
    budget = budget_draft(
        team_id=team_id,
        tenant_id=tenant_id,
        name=name,
        amount=amount,
        currency=currency,
        actor=actor,
        now=now,
        thresholds=thresholds,
        on_unknown=on_unknown,
        resume_afterwards=resume_afterwards,
        emails=emails,
    )
    secret = None
    if webhook_url:
        endpoint, secret = endpoint_create(
            team_id=team_id, url=webhook_url, secret_bytes=secret_bytes, at=now
        )
        budget.endpoint_id = endpoint.pk
    budget.save(force_insert=True)
    _audit(budget, actor, "created", now, {**_told(budget), "webhook": bool(webhook_url)})
    return budget, secret


def budget_draft(
    *,
    team_id: UUID,
    tenant_id: UUID | None,
    name: str,
    amount: Decimal,
    currency: str,
    actor: str,
    now: datetime,
    thresholds: Sequence[Mapping[str, Any]] | None = None,
    on_unknown: str = OPEN,
    resume_afterwards: bool = False,
    emails: Sequence[str] = (),
) -> Budget:
    """A budget that fits, not saved. Raises ValidationFailed naming the wrong field."""
    if currency not in MINOR_PLACES:
        raise ValidationFailed.of("currency", "is not a currency that can be billed in")
    return Budget(
        team_id=team_id,
        tenant_id=tenant_id,
        name=_name(name),
        amount=_amount(amount, currency),
        currency=currency,
        thresholds=_thresholds(thresholds),
        on_unknown=_on_unknown(on_unknown),
        resume_afterwards=resume_afterwards,
        emails=emails_check(emails),
        created_by=actor,
        created_at=now,
        updated_at=now,
        next_evaluation_at=now,
    )


@transaction.atomic
def budget_update(
    *,
    budget: Budget,
    changes: Mapping[str, Any],
    actor: str,
    now: datetime,
    secret_bytes: bytes,
    etags: Collection[str] | None = None,
) -> tuple[Budget, str | None]:
    """Changes what `changes` names, and takes back what no threshold asks for any more; an evaluation should follow. A
    new `webhook_url` (null: none) gets a secret of its own, which is returned this one time.

    Raises PreconditionFailed when the budget is at none of `etags`.
    """
    current = Budget.objects.select_for_update().get(pk=budget.pk)
    if etags is not None and budget_etag(current) not in etags:
        raise PreconditionFailed("The budget changed since it was read.", hint="Read it again, then repeat.")
    before = _told(current)
    readers: dict[str, Callable[[Any], Any]] = {
        "name": _name,
        "amount": lambda raw: _amount(raw, current.currency),
        "thresholds": _thresholds,
        "on_unknown": _on_unknown,
        "resume_afterwards": bool,
        "emails": emails_check,
    }
    for field, read in readers.items():
        if field in changes:
            setattr(current, field, read(changes[field]))
    secret, moved = None, "webhook_url" in changes
    if moved:
        if current.endpoint_id is not None:
            endpoint_remove(endpoint_id=current.endpoint_id)
            current.endpoint_id = None
        if changes["webhook_url"]:
            endpoint, secret = endpoint_create(
                team_id=current.team_id, url=changes["webhook_url"], secret_bytes=secret_bytes, at=now
            )
            current.endpoint_id = endpoint.pk
    after = _told(current)
    if before == after and not moved:
        return current, None
    # The version must move even if the clock did not, or went back while this waited for the row.
    current.updated_at = max(now, current.updated_at + timedelta(microseconds=1))
    current.next_evaluation_at = now
    current.save()
    changed = {name: value for name, value in after.items() if before[name] != value}
    data = {"before": {name: before[name] for name in changed}, "after": changed, "webhook_changed": moved}
    _audit(current, actor, "updated", now, data)
    hold_settle(budget=current, now=now)
    return current, secret


@transaction.atomic
def budget_delete(*, budget: Budget, actor: str, now: datetime) -> None:
    """Takes back what it holds, and goes with its alerts; the audit log keeps that they fired."""
    current = Budget.objects.select_for_update().filter(pk=budget.pk).first()
    if current is None:
        return
    for tenant_id in sorted(tenants_held(source=source_of(current))):
        standing_release(
            tenant_id=tenant_id, team_id=current.team_id, source=source_of(current), at=now, actor=ACTOR
        )
    if current.endpoint_id is not None:
        endpoint_remove(endpoint_id=current.endpoint_id)
    _audit(current, actor, "deleted", now, _told(current))
    current.delete()


def _name(raw: str) -> str:
    name = " ".join(raw.split())
    if not 1 <= len(name) <= 100:
        raise ValidationFailed.of("name", "must be 1 to 100 characters")
    return name


def _amount(raw: Decimal, currency: str) -> Decimal:
    if not raw.is_finite() or not 0 < raw < _LARGEST:
        raise ValidationFailed.of("amount", "must be a decimal above 0")
    rounded = raw.quantize(minor_unit(currency), context=WIDE)
    if rounded != raw:
        raise ValidationFailed.of("amount", f"has more places than {currency} has")
    return rounded


def _thresholds(raw: Sequence[Mapping[str, Any]] | None) -> list[Any]:
    found = DEFAULT if raw is None else thresholds_parse(raw)
    return [each.as_wire() for each in found]


def _on_unknown(raw: str) -> str:
    if raw not in (OPEN, CLOSED):
        raise ValidationFailed.of("on_unknown", f"must be {OPEN} or {CLOSED}")
    return raw


def _told(budget: Budget) -> dict[str, Any]:
    return {
        "name": budget.name,
        "amount": money_text(budget.amount, budget.currency),
        "currency": budget.currency,
        "thresholds": budget.thresholds,
        "on_unknown": budget.on_unknown,
        "resume_afterwards": budget.resume_afterwards,
        "emails": budget.emails,
    }


def _audit(budget: Budget, actor: str, what: str, now: datetime, data: Mapping[str, Any]) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"billing.budget.{what}",
        subject_type="budget",
        subject_id=str(budget.pk),
        team_id=budget.team_id,
        data={"tenant_id": str(budget.tenant_id) if budget.tenant_id else None, **data},
    )
