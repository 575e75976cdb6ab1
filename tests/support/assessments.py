"""What policy and prices may have said of a plan, for tests that do not ask them."""

from contracts.planned import (
    STATEFUL_RULE,
    CostEstimate,
    PlanAssessment,
    PolicyFinding,
    PolicyReport,
    Severity,
)


def finding(rule: str = "no-public-ingress", severity: Severity = "deny", name: str = "db") -> PolicyFinding:
    type_name = "aws:rds/instance:Instance"
    urn = f"urn:pulumi:acme::freehold::{type_name}::{name}"
    return PolicyFinding(
        rule=rule, severity=severity, urn=urn, type=type_name, name=name, message="objected to"
    )


def lost(name: str) -> PolicyFinding:
    return finding(STATEFUL_RULE, "warn", name)


def assessment(*findings: PolicyFinding, before: str = "10.00", after: str = "10.00") -> PlanAssessment:
    cost = CostEstimate(
        currency="USD", monthly_before=before, monthly_after=after, lines=[], unknown=[], prices=[]
    )
    return PlanAssessment(
        policy=PolicyReport(rules=["no-public-ingress"], findings=list(findings)), cost=cost
    )
