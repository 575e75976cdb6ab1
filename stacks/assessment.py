"""What policy and prices say of a plan, from the files that an operator named."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from contracts.planned import AssessmentJob, PlanAssessment, PlannedResource
from contracts.stack import StackSpec
from stacks.policy.evaluate import policy_evaluate
from stacks.policy.files import exceptions_load, rules_load
from stacks.policy.model import Planned
from stacks.policy.rules.data import stateful_kept
from stacks.pricing.estimate import cost_estimate
from stacks.pricing.tables import price_book


def data_assess(spec: StackSpec, plan: Sequence[Mapping[str, Any]]) -> PlanAssessment:
    """Findings on work that replaces data and changes no resource."""
    resources = tuple(
        PlannedResource.model_validate({key: row[key] for key in ("urn", "type", "name", "op")})
        for row in plan
    )
    lost = policy_evaluate(
        Planned(spec=spec, resources=resources), rules=[stateful_kept], exceptions=[], today=date.min
    )
    return PlanAssessment(policy=lost)


def plan_assess(spec: StackSpec, resources: Sequence[PlannedResource], job: AssessmentJob) -> PlanAssessment:
    """Findings and monthly costs of a plan. PolicyBroken or PricesBroken when a file cannot be used."""
    rules = rules_load([Path(name) for name in job.policy_files])
    exceptions = [each for name in job.policy_exceptions for each in exceptions_load(Path(name))]
    book = price_book(region=spec.region, own=[Path(name) for name in job.price_tables])
    plan = Planned(spec=spec, resources=tuple(resources))
    return PlanAssessment(
        policy=policy_evaluate(plan, rules=rules, exceptions=exceptions, today=job.today),
        cost=cost_estimate(resources, book),
    )
