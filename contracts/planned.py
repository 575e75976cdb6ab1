"""What a plan would change, with the inputs that policy and pricing look at, and what these two found.

Amounts of money are decimal strings in the currency named beside them; months have 730 hours.
"""

from datetime import date
from typing import Any, Literal

from contracts.base import Contract

#: The engine's word for a value that is known only after the apply.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
#: The engine's word for a value that is nobody's business.
SECRET = "[secret]"  # noqa: S105

#: The rule that finds lost data: the approval rule `stateful` asks for a person where it found some.
STATEFUL_RULE = "stateful-kept"

Severity = Literal["deny", "warn"]
ResourceOp = Literal["create", "update", "replace", "delete", "same", "read", "refresh"]


class AssessmentJob(Contract):
    """By what a plan is judged: files of an operator beside our own rules and tables, and the day it is."""

    today: date
    policy_files: list[str] = []
    policy_exceptions: list[str] = []
    price_tables: list[str] = []


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
    origin: str


class CostEstimate(Contract):
    """A stack's monthly cost before and after a plan. With `unknown` resources both are at least this much."""

    currency: str
    monthly_before: str
    monthly_after: str
    lines: list[CostLine]
    unknown: list[CostUnknown]
    prices: list[PriceSource]


class PlanAssessment(Contract):
    """`cost` is None for work on data alone, which changes no resource."""

    policy: PolicyReport
    cost: CostEstimate | None = None
