"""How a plan looks in the OpenAPI document: its resources, what judged it, and what an approval binds to."""

from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    IntegerField,
    UUIDField,
)

from controlplane.api.shapes import ChoicesField, CostShape, PlanSummaryShape, Shape


class DiffShape(Shape):
    path = CharField()
    kind = CharField()
    secret = BooleanField(required=False, help_text="that the value changes is told, and no value is")


class PlannedResourceShape(Shape):
    urn = CharField()
    type = CharField()
    name = CharField()
    op = CharField(help_text="create, update, replace, delete, same and the engine's finer ones")
    diffs = DiffShape(many=True)


class ApprovalShape(Shape):
    needed = BooleanField()
    reason = CharField(allow_null=True)


class PlanBindingShape(Shape):
    """What an approval binds to: the apply is refused when any of it moved."""

    plan_id = UUIDField()
    program_hash = CharField()
    spec_hash = CharField()
    state_version = IntegerField()
    state_hash = CharField(allow_blank=True)
    cli_version = CharField()
    sdk_version = CharField()
    changes_hash = CharField()
    policy_hash = CharField(allow_blank=True)
    cost_hash = CharField(allow_blank=True)
    computed_at = DateTimeField()
    expires_at = DateTimeField()


class PolicyExceptionShape(Shape):
    rule = CharField()
    tenant = CharField(help_text="a slug, or * for every tenant")
    resource = CharField(help_text="a name or a pattern")
    owner = CharField()
    reason = CharField()
    expires = DateField()


class PolicyFindingShape(Shape):
    rule = CharField()
    severity = ChoicesField("deny", "warn")
    urn = CharField(allow_blank=True)
    type = CharField(allow_blank=True)
    name = CharField()
    message = CharField()
    undecided = BooleanField(help_text="what the rule looks at is known only after the apply")
    exception = PolicyExceptionShape(allow_null=True)


class PolicyShape(Shape):
    denied = BooleanField(help_text="such a plan is not applied")
    rules = serializers.ListField(child=CharField(), help_text="every rule that was asked")
    findings = PolicyFindingShape(many=True)


class CostLineShape(Shape):
    urn = CharField()
    name = CharField()
    type = CharField()
    sku = CharField()
    quantity = CharField(help_text="units a month, as a decimal string")
    unit = CharField()
    unit_price = CharField()
    monthly = CharField()


class CostUnknownShape(Shape):
    urn = CharField()
    name = CharField()
    type = CharField()
    why = CharField()


class PriceSourceShape(Shape):
    name = CharField()
    date = DateField()
    origin = CharField()


class JudgedPlanShape(Shape):
    summary = PlanSummaryShape(allow_null=True)
    resources = PlannedResourceShape(many=True)
    policy = PolicyShape()
    cost = CostShape()
    cost_lines = CostLineShape(many=True)
    cost_unknown = CostUnknownShape(many=True)
    prices = PriceSourceShape(many=True)


class OperationPlanShape(JudgedPlanShape):
    operation = UUIDField()
    plan_id = UUIDField(allow_null=True)
    approval = ApprovalShape()
    binds_to = PlanBindingShape(allow_null=True)


class PreviewErrorShape(Shape):
    detail = CharField()
    hint = CharField(allow_blank=True)


class TenantPreviewShape(Shape):
    """The plan of a stack that does not exist; `plan` once it is planned, `error` once that failed."""

    id = UUIDField()
    state = ChoicesField("waiting", "planned", "failed")
    slug = CharField()
    tenant_plan = CharField(help_text="the plan that the tenant would be on")
    target = CharField()
    region = CharField(allow_null=True)
    asked_at = DateTimeField()
    plan = JudgedPlanShape(allow_null=True)
    error = PreviewErrorShape(allow_null=True)
