"""The shapes of budgets, standings, schedules and links as the OpenAPI document shows them. Documentation only."""

# A member may have the name of an attribute of serializers (`errors`, `data`): DRF keeps declared fields apart.
# mypy: disable-error-code="assignment"

from typing import Any

from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, DateTimeField, IntegerField, UUIDField

from billing.budgets.thresholds import ACTIONS, MEASURES
from billing.reports.models import CADENCES, LINK_SCOPES
from billing.reports.render import FORMATS
from billing.standing import states as standings
from controlplane.api.money_shapes import PeriodShape
from controlplane.api.shapes import ChoicesField, Shape


def texts() -> Any:
    return serializers.ListField(child=CharField())


def words(*choices: str) -> Any:
    """A text, with its choices named: fields of one name have other choices elsewhere, which would need two names."""
    return CharField(help_text=f"one of {', '.join(choices)}")


def actions(*choices: str) -> Any:
    return serializers.ListField(child=CharField(), help_text=f"of {', '.join(choices)}")


class ThresholdShape(Shape):
    percent = CharField()
    on = ChoicesField(*MEASURES)
    actions = actions(*ACTIONS)


class ThresholdStatusShape(ThresholdShape):
    amount = CharField()
    reached = BooleanField()
    fired_at = DateTimeField(allow_null=True)


class TenantSpendShape(Shape):
    tenant = CharField()
    spent = CharField()
    forecast = CharField()


class BudgetStatusShape(Shape):
    """`run_rate` is for an hour of what is open; `committed` the part of `spent` that is owed whatever is used."""

    state = words("pending", "unknown", "ok", "reached", "exceeded")
    period = PeriodShape()
    spent = CharField(allow_null=True)
    committed = CharField(allow_null=True)
    run_rate = CharField(allow_null=True)
    forecast = CharField(allow_null=True)
    spent_percent = CharField(allow_null=True)
    forecast_percent = CharField(allow_null=True)
    tenants = TenantSpendShape(many=True)
    thresholds = ThresholdStatusShape(many=True)
    evaluated_at = DateTimeField(allow_null=True)
    next_evaluation_at = DateTimeField()
    problem = CharField(allow_blank=True, help_text="why it cannot be evaluated; empty when it can")
    while_unknown = CharField(help_text="what happens while it cannot be evaluated")


class DeliveryShape(Shape):
    channel = ChoicesField("email", "webhook")
    state = words("pending", "delivered", "failed")
    attempts = IntegerField()
    last_error = CharField(allow_blank=True)
    ended_at = DateTimeField(allow_null=True)


class BudgetAlertShape(Shape):
    """A threshold that was reached, with what was known then."""

    id = UUIDField()
    period = CharField(help_text="YYYY-MM")
    percent = CharField()
    on = ChoicesField(*MEASURES)
    actions = actions(*ACTIONS)
    amount = CharField(help_text="of the budget, then")
    value = CharField()
    spent = CharField()
    run_rate = CharField()
    forecast = CharField()
    fired_at = DateTimeField()
    rearmed_at = DateTimeField(allow_null=True, help_text="when a raised budget let it fire again")
    deliveries = DeliveryShape(many=True)


class BudgetShape(Shape):
    id = UUIDField()
    scope = ChoicesField("tenant", "fleet")
    tenant = CharField(allow_null=True)
    name = CharField()
    amount = CharField()
    currency = CharField()
    period = ChoicesField("month")
    thresholds = ThresholdShape(many=True)
    on_unknown = ChoicesField("open", "closed")
    resume_afterwards = BooleanField()
    emails = texts()
    webhook_url = CharField(allow_null=True)
    created_by = CharField()
    created_at = DateTimeField()
    updated_at = DateTimeField()
    status = BudgetStatusShape()
    alerts = BudgetAlertShape(many=True)


class BudgetChangedShape(BudgetShape):
    webhook_secret = CharField(
        allow_null=True, help_text="of a webhook that was just set; shown in this answer only"
    )


class StandingCauseShape(Shape):
    source = CharField()
    standing = words(*standings.STANDINGS)
    reason = CharField()
    actions = actions(*standings.ACTIONS)
    since = DateTimeField()


class StandingChangeShape(Shape):
    at = DateTimeField()
    before = words(*standings.STANDINGS)
    after = words(*standings.STANDINGS)
    reason = CharField(allow_blank=True)
    actions = actions(*standings.ACTIONS)
    actor = CharField()


class StandingEnactedShape(Shape):
    """What was done about it."""

    runs_paused = BooleanField()
    told_at = DateTimeField(allow_null=True)
    suspend_operation = UUIDField(allow_null=True)
    problem = CharField(allow_blank=True)


class StandingShape(Shape):
    standing = words(*standings.STANDINGS)
    reason = CharField(allow_blank=True)
    actions = actions(*standings.ACTIONS)
    since = DateTimeField(allow_null=True)
    causes = StandingCauseShape(many=True)
    history = StandingChangeShape(many=True)
    enacted = StandingEnactedShape()


class ReportDeliveryShape(Shape):
    due_on = serializers.DateField()
    period = CharField()
    written_at = DateTimeField(allow_null=True)
    problem = CharField(allow_blank=True)
    messages = DeliveryShape(many=True)


class ReportScheduleShape(Shape):
    id = UUIDField()
    scope = ChoicesField("tenant", "fleet")
    tenant = CharField(allow_null=True)
    cadence = ChoicesField(*CADENCES)
    format = words(*FORMATS)
    emails = texts()
    active = BooleanField()
    webhook_url = CharField(allow_null=True)
    next_at = DateTimeField(allow_null=True)
    created_by = CharField()
    created_at = DateTimeField()
    updated_at = DateTimeField()
    deliveries = ReportDeliveryShape(many=True)


class ReportScheduleChangedShape(ReportScheduleShape):
    webhook_secret = CharField(
        allow_null=True, help_text="of a webhook that was just set; shown in this answer only"
    )


class ReportLinkShape(Shape):
    id = UUIDField()
    label = CharField(allow_blank=True)
    scope = words(*LINK_SCOPES)
    state = words("active", "expired", "revoked")
    created_by = CharField()
    created_at = DateTimeField()
    expires_at = DateTimeField()
    revoked_at = DateTimeField(allow_null=True)
    last_used_at = DateTimeField(allow_null=True)


class ReportLinkCreatedShape(ReportLinkShape):
    url = CharField(help_text="shown in this answer only")
