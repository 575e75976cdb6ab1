"""Asks every rule about a plan. Pure: the day is an argument."""

from collections.abc import Iterator, Sequence
from datetime import date
from fnmatch import fnmatchcase

from contracts.planned import PlannedResource, PolicyException, PolicyFinding, PolicyReport
from stacks.policy.model import Planned, Rule, Violation


def policy_evaluate(
    plan: Planned, *, rules: Sequence[Rule], exceptions: Sequence[PolicyException], today: date
) -> PolicyReport:
    """Every finding, denials first. A rule that fails to answer denies: it may have been the one that objects."""
    found = [finding for rule in rules for finding in _ask(rule, plan, exceptions, today)]
    found.sort(key=lambda finding: (not finding.denies, finding.severity, finding.rule, finding.urn))
    return PolicyReport(rules=[rule.name for rule in rules], findings=found)


def _ask(
    rule: Rule, plan: Planned, exceptions: Sequence[PolicyException], today: date
) -> Iterator[PolicyFinding]:
    try:
        violations = list(rule.check(plan))
    except Exception as error:  # a rule is an operator's code: whatever it raises, it has not said yes
        stack = PlannedResource(urn="", type="", name=plan.spec.slug, op="same")
        violations = [Violation(stack, f"the rule itself failed: {type(error).__name__}: {error}")]
    for violation in violations:
        resource, message = violation.resource, violation.message
        accepted = _exception(rule.name, resource.name, plan.spec.slug, exceptions)
        if accepted is not None and accepted.expires < today:
            message = f"{message} (the exception of {accepted.owner} ended on {accepted.expires})"
            accepted = None
        yield PolicyFinding(
            rule=rule.name,
            severity="warn" if violation.undecided else rule.severity,
            urn=resource.urn,
            type=resource.type,
            name=resource.name,
            message=message,
            undecided=violation.undecided,
            exception=accepted,
        )


def _exception(
    rule: str, resource: str, tenant: str, exceptions: Sequence[PolicyException]
) -> PolicyException | None:
    """The one that lasts longest of those that name the rule, the tenant and the resource."""
    matching = [
        each
        for each in exceptions
        if each.rule == rule and each.tenant in (tenant, "*") and fnmatchcase(resource, each.resource)
    ]
    return max(matching, key=lambda each: each.expires, default=None)
