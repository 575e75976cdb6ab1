"""The shapes of usage and money as the OpenAPI document shows them. Documentation only, like shapes.py.

Quantities and money are decimal strings everywhere, so that no client turns them into floats.
"""

# A member may have the name of an attribute of serializers (`errors`, `data`): DRF keeps declared fields apart.
# mypy: disable-error-code="assignment"

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, DateTimeField, IntegerField, UUIDField

from billing.metering.windows import WINDOW_SIZES
from controlplane.api.shapes import AnyField, ChoicesField, Shape


class CloudEventShape(Shape):
    """A CloudEvent 1.0 that says what a tenant used; docs/usage-events.md lists the types and their data."""

    specversion = ChoicesField("1.0")
    id = CharField()
    source = CharField()
    type = CharField()
    subject = CharField(help_text="slug of the tenant that used it")
    time = DateTimeField()
    data = serializers.DictField(child=AnyField())


class IngestResultShape(Shape):
    id = CharField(allow_blank=True)
    outcome = ChoicesField("accepted", "duplicate", "conflict", "rejected")
    reason = CharField(allow_null=True)


class IngestAnswerShape(Shape):
    """`results` has one entry per event, in the order they came in."""

    accepted = IntegerField()
    duplicate = IntegerField()
    conflict = IntegerField()
    rejected = IntegerField()
    results = IngestResultShape(many=True)


class UsageCorrectionShape(Shape):
    id = UUIDField()
    tenant = CharField()
    source = CharField()
    event_id = CharField()
    action = ChoicesField("void", "amend")
    event = serializers.DictField(child=AnyField(), allow_null=True, help_text="what counts instead")
    reason = CharField()
    actor = CharField()
    recorded_at = DateTimeField()


class MeterFilterShape(Shape):
    dimension = CharField()
    values = serializers.ListField(child=CharField())


class MeterShape(Shape):
    key = CharField()
    version = IntegerField()
    description = CharField()
    unit = CharField()
    aggregation = CharField()
    event_type = CharField(allow_null=True)
    value = CharField(allow_null=True, help_text="the member of the event's data that is aggregated")
    dimensions = serializers.ListField(child=CharField())
    filters = MeterFilterShape(many=True)


#: `from` is a keyword of Python, so these cannot be classes.
PERIOD: dict[str, Any] = {"from": DateTimeField(), "to": DateTimeField()}
USAGE_RESULT: dict[str, Any] = {**PERIOD, "group": CharField(allow_null=True), "value": CharField()}


class UsageShape(Shape):
    meter = CharField()
    unit = CharField()
    window = ChoicesField(*WINDOW_SIZES)
    results = inline_serializer("UsageResult", fields=USAGE_RESULT, many=True)


class GroupTotalShape(Shape):
    group = CharField(allow_blank=True)
    value = CharField()


class MeterReportShape(Shape):
    """`groups` are by the dimension that `grouped_by` names."""

    meter = CharField()
    unit = CharField()
    description = CharField()
    total = CharField()
    grouped_by = CharField()
    groups = GroupTotalShape(many=True)
    amount = CharField()


class DailyTotalShape(Shape):
    date = serializers.DateField()
    meter = CharField()
    value = CharField()


class BreakdownShape(Shape):
    group = CharField(allow_blank=True)
    meters = serializers.DictField(child=CharField())


class ReportTenantShape(Shape):
    slug = CharField()
    name = CharField()


class CostPerTaskShape(Shape):
    """A task is a run that succeeded; null where none did."""

    successful_runs = CharField()
    cost = CharField(allow_null=True)
    usage_cost = CharField(allow_null=True, help_text="without fees")


class EfficiencyShape(Shape):
    """Shares are from 0 to 1; null where there is nothing to divide by."""

    runs = CharField()
    success_rate = CharField(allow_null=True)
    tokens = CharField()
    tokens_per_run = CharField(allow_null=True)
    cached_share = CharField(allow_null=True)
    tool_calls_per_run = CharField(allow_null=True)


class GpuHoursShape(Shape):
    """`busy`: while at least one run was executed."""

    paid = CharField()
    busy = CharField()
    idle = CharField()
    busy_share = CharField(allow_null=True)


class MeterChangeShape(Shape):
    meter = CharField()
    total = CharField()
    previous = CharField()
    change_percent = CharField(allow_null=True)


class ComparisonShape(Shape):
    """With the whole period before; `complete` is false while the period still runs."""

    period = CharField()
    complete = BooleanField()
    currency = CharField()
    estimated_total = CharField()
    change = CharField(allow_null=True)
    change_percent = CharField(allow_null=True)
    meters = MeterChangeShape(many=True)


class OtherChargeShape(Shape):
    """Of the bill, neither the base fee nor a meter's."""

    kind = CharField(help_text="such as minimum, maximum, discount, trial, one_off")
    description = CharField()
    amount = CharField(help_text="below zero for what is taken off")


class UsageReportShape(Shape):
    tenant = ReportTenantShape()
    period = CharField(help_text="YYYY-MM")
    period_from = DateTimeField()
    period_to = DateTimeField()
    generated_at = DateTimeField()
    as_of = DateTimeField()
    currency = CharField()
    rate_card = CharField()
    meters = MeterReportShape(many=True)
    daily = DailyTotalShape(many=True)
    by_agent = BreakdownShape(many=True)
    by_model = BreakdownShape(many=True)
    by_outcome = BreakdownShape(many=True)
    base_fee = CharField()
    other_charges = OtherChargeShape(many=True)
    estimated_total = CharField(help_text="equals the total of the invoice preview at the same as_of")
    by_user = BreakdownShape(many=True)
    cost_per_task = CostPerTaskShape()
    efficiency = EfficiencyShape()
    gpu = GpuHoursShape()
    previous = ComparisonShape(allow_null=True)


class FleetRowShape(Shape):
    """One tenant; `previous_total` is the whole month before."""

    tenant = CharField()
    name = CharField()
    currency = CharField()
    rate_card = CharField()
    base_fee = CharField()
    estimated_total = CharField()
    previous_total = CharField(allow_null=True)
    change_percent = CharField(allow_null=True)
    meters = serializers.DictField(child=CharField())
    cost_per_task = CostPerTaskShape()
    efficiency = EfficiencyShape()
    gpu = GpuHoursShape()


class CurrencyTotalShape(Shape):
    currency = CharField()
    tenants = IntegerField()
    estimated_total = CharField()


class FleetMeterShape(Shape):
    meter = CharField()
    unit = CharField()
    description = CharField()
    total = CharField()


class FleetReportShape(Shape):
    period = CharField(help_text="YYYY-MM")
    period_from = DateTimeField()
    period_to = DateTimeField()
    generated_at = DateTimeField()
    as_of = DateTimeField()
    totals = CurrencyTotalShape(many=True)
    meters = FleetMeterShape(many=True)
    efficiency = EfficiencyShape()
    tenants = FleetRowShape(many=True)


class RateCardShape(Shape):
    key = CharField()
    version = IntegerField()


class CustomerShape(Shape):
    name = CharField()


PeriodShape = type("PeriodShape", (Shape,), {"from": DateTimeField(), "to": DateTimeField()})


class InvoiceLineShape(Shape):
    """`quantity` is what is charged: `used` less the `included` allowance."""

    id = UUIDField()
    kind = CharField()
    description = CharField()
    meter = CharField()
    period = PeriodShape()
    quantity = CharField()
    unit = CharField()
    unit_price = CharField(help_text="0 where `parts` say the prices")
    amount = CharField()
    used = CharField()
    included = CharField()
    parts = serializers.ListField(
        child=serializers.DictField(child=AnyField()), help_text="of a tiered price"
    )
    rate_card = RateCardShape()


class InvoiceShape(Shape):
    id = UUIDField()
    number = CharField(allow_null=True, help_text="null until the invoice is final")
    state = CharField(help_text="draft for a preview")
    customer = CustomerShape()
    period = PeriodShape()
    as_of = DateTimeField()
    rate_card = RateCardShape()
    currency = CharField()
    lines = InvoiceLineShape(many=True)
    subtotal = CharField()
    credits = CharField()
    tax = CharField()
    total = CharField()
