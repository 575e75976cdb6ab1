"""Tenants' plans as billing's agreements: opened with a tenant, following its plan once that has been applied."""

from datetime import datetime

from billing.agreements.publishing import card_read, rate_cards_publish
from billing.agreements.services import (
    Recorder,
    agreement_end,
    agreement_open,
    agreement_plan_follow,
    currency_fits,
)
from controlplane.core.errors import ValidationFailed
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans, rate_cards


def catalogue_publish(*, actor: str, now: datetime) -> list[str]:
    """Publishes the rate cards of plans.toml that are not yet; their names. Raises OperatorError for a changed one."""
    return rate_cards_publish(cards=[card_read(body) for body in rate_cards()], actor=actor, at=now)


def agreement_begin(tenant: Tenant, *, actor: str, now: datetime) -> None:
    agreement_open(
        tenant_id=tenant.pk,
        plan=tenant.plan,
        card=card_read(plans()[tenant.plan].rate_card),
        starts_at=tenant.created_at,
        by=_by(tenant, actor, now),
    )


def agreement_follow(tenant: Tenant, *, plan: str, actor: str, now: datetime) -> None:
    """`plan` is what has been applied: the tenant may have been changed again since."""
    if plan not in plans():
        return  # taken out of the catalogue meanwhile: the agreement stays as it is
    agreement_plan_follow(
        tenant_id=tenant.pk,
        plan=plan,
        card=card_read(plans()[plan].rate_card),
        start=now,
        by=_by(tenant, actor, now),
    )


def agreement_finish(tenant: Tenant, *, actor: str, now: datetime) -> None:
    agreement_end(tenant_id=tenant.pk, at=now, by=_by(tenant, actor, now))


def plan_currency_check(tenant: Tenant, *, plan: str) -> None:
    """Raises ValidationFailed for a plan that is priced in another currency than the tenant is billed in."""
    card = card_read(plans()[plan].rate_card)
    if not currency_fits(tenant_id=tenant.pk, card=card):
        raise ValidationFailed.of("plan", currency_differs(card.currency))


def currency_differs(currency: str) -> str:
    return f"is priced in {currency}; the tenant is billed in another currency"


def _by(tenant: Tenant, actor: str, now: datetime) -> Recorder:
    return Recorder(actor, now, tenant.team_id)
