"""What a plan would change, with the inputs that policy and pricing look at, and what these two found.

Amounts of money are decimal strings in the currency named beside them; months have 730 hours.
"""

from datetime import date
from typing import Any, Literal

from contracts.base import Contract
from contracts.engine import ResourceOp

#: The engine's word for a value that is known only after the apply.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
#: The engine's word for a value that is nobody's business.
SECRET = "[secret]"  # noqa: S105

Severity = Literal["deny", "warn"]


class PlannedResource(Contract):
    """One resource of a plan. `before` are its inputs as last applied, None when it does not exist yet; `after` the
    inputs wanted, None when it goes. Secrets in both are blinded by the engine."""

    urn: str
    type: str
    name: str
    op: ResourceOp
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class PolicyException(Contract):
    """A person's word that a finding is accepted until a day. All of it is required: an exception without owner or
    end is a rule that was switched off."""

    rule: str
    tenant: str
    resource: str
    owner: str
    reason: str
    expires: date


class PolicyFinding(Contract):
    """A rule's objection to one resource. `undecided`: the value it looks at is known only after the apply."""

    rule: str
    severity: Severity
    urn: str
    type: str
    name: str
    message: str
    undecided: bool = False
    exception: PolicyException | None = None

    @property
    def denies(self) -> bool:
        return self.severity == "deny" and self.exception is None


class PolicyReport(Contract):
    """`rules` names every rule that was asked, so that silence can be told from absence."""

    rules: list[str]
    findings: list[PolicyFinding]

    @property
    def denied(self) -> list[PolicyFinding]:
        return [finding for finding in self.findings if finding.denies]


class CostLine(Contract):
    """One resource's share: `quantity` of `unit` a month at `unit_price` is `monthly`."""

    urn: str
    name: str
    type: str
    sku: str
    quantity: str
    unit: str
    unit_price: str
    monthly: str


class CostUnknown(Contract):
    """A resource whose price nobody knows: named, never counted as nothing."""

    urn: str
    name: str
    type: str
    why: str


class PriceSource(Contract):
    """Where prices come from and of which day they are."""

    name: str
    date: date
    source: str


class CostEstimate(Contract):
    """A stack's monthly cost before and after a plan. With `unknown` resources both are at least this much."""

    currency: str
    monthly_before: str
    monthly_after: str
    lines: list[CostLine]
    unknown: list[CostUnknown]
    prices: list[PriceSource]
