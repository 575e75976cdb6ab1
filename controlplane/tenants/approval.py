"""Which rule decides whether a person must approve an operation's plan. Pure."""

from collections.abc import Mapping

from contracts.labels import is_production
from controlplane.tenants.plans import Approval, Plan


def approval_rule(*, plan: Plan, kind: str, labels: Mapping[str, str]) -> Approval:
    """`always`, `stateful` or `never`: the plan's rule for the kind, else its general one; a tenant of production
    is always approved where the plan says so. Of several that apply, the strictest."""
    rule = plan.approval_by_kind.get(kind, plan.approval)
    return "always" if plan.approval_production and is_production(labels) else rule
