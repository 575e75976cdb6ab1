"""What another plan would mean for tenants: the price list, the sizes of their stacks, and who must approve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.agreements.publishing import card_read
from billing.agreements.selectors import currencies_of
from controlplane.core.errors import ValidationFailed
from controlplane.operations import states as operation_states
from controlplane.tenants.approval import approval_rule
from controlplane.tenants.models import Tenant
from controlplane.tenants.overrides import overrides_check, sizes_merge
from controlplane.tenants.plans import Approval, Plan, plans
from controlplane.tenants.pricing import currency_differs


@dataclass(frozen=True)
class SizeChange:
    """`name` as overrides name it, such as gpu.count. None: the plan does not say."""

    name: str
    before: object
    after: object


@dataclass(frozen=True)
class PlanChange:
    """From the plan a tenant has been given to another. Fees are those of the plans' price lists, a month."""

    before: Plan
    after: Plan
    sizes: tuple[SizeChange, ...]
    approval: Approval

    @property
    def fee_before(self) -> str:
        return str(self.before.rate_card["base_fee"])

    @property
    def fee_after(self) -> str:
        return str(self.after.rate_card["base_fee"])

    @property
    def currency_before(self) -> str:
        return str(self.before.rate_card["currency"])

    @property
    def currency_after(self) -> str:
        return str(self.after.rate_card["currency"])


def plan_known(key: str) -> Plan:
    """Raises ValidationFailed for one that the catalogue does not have."""
    if key not in plans():
        raise ValidationFailed.of("plan", f"must be one of {', '.join(plans())}")
    return plans()[key]


def plan_changes_foresee(*, tenants: Sequence[Tenant], plan: str) -> dict[UUID, PlanChange | str]:
    """For each tenant what the plan would change, or why it cannot take it. `tenant_update` decides again."""
    wanted, currencies = plan_known(plan), currencies_of(tenant_ids=[tenant.pk for tenant in tenants])
    return {tenant.pk: _foresee(tenant, wanted, currencies) for tenant in tenants}


def _foresee(tenant: Tenant, wanted: Plan, currencies: Mapping[UUID, str]) -> PlanChange | str:
    if tenant.plan == wanted.key:
        return f"{tenant.slug} is on the plan {wanted.key} already."
    card = card_read(wanted.rate_card)
    if currencies.get(tenant.pk, card.currency) != card.currency:
        return f"The plan {currency_differs(card.currency)}."
    try:
        overrides_check(
            plan=wanted, overrides=tenant.overrides, target=tenant.target, region=tenant.region or ""
        )
    except ValidationFailed as error:
        return f"Its own sizes do not fit: {error.detail}"
    before = plans().get(tenant.plan)
    if before is None:
        return f"The catalogue has no plan {tenant.plan} any more: change {tenant.slug} by itself."
    return PlanChange(
        before=before,
        after=wanted,
        sizes=_size_changes(tenant, before, wanted),
        approval=approval_rule(plan=wanted, kind=operation_states.UPDATE, labels=tenant.labels),
    )


def _size_changes(tenant: Tenant, before: Plan, after: Plan) -> tuple[SizeChange, ...]:
    """With the tenant's own sizes on top of both."""
    was, will = (
        sizes_merge(plan, tenant.overrides, target=tenant.target).model_dump() for plan in (before, after)
    )
    return tuple(
        SizeChange(f"{part}.{name}", was[part].get(name), value)
        for part, values in will.items()
        for name, value in values.items()
        if was[part].get(name) != value
    )
