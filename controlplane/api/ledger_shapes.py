"""The shapes of credits, costs and margins as the OpenAPI document shows them. Documentation only, like shapes.py.

Money is exact decimal strings everywhere, so that no client turns it into floats.
"""

# A member may have the name of an attribute of serializers (`errors`, `data`): DRF keeps declared fields apart.
# mypy: disable-error-code="assignment"

from rest_framework import serializers
from rest_framework.serializers import CharField, DateTimeField, IntegerField, UUIDField

from billing.costs.imports import MODES
from billing.ledger.models import SOURCES
from controlplane.api.shapes import ChoicesField, Shape

STATES = ("scheduled", "active", "used", "expired", "voided")


class CreditShape(Shape):
    id = UUIDField()
    name = CharField()
    source = ChoicesField(*SOURCES)
    currency = CharField()
    amount = CharField()
    remaining = CharField(help_text="what the ledger held of it at the moment asked for")
    priority = IntegerField(help_text="smaller is used first")
    state = ChoicesField(*STATES)
    effective_at = DateTimeField()
    expires_at = DateTimeField(allow_null=True)
    voided_at = DateTimeField(allow_null=True)
    created_at = DateTimeField()


class CreditsShape(Shape):
    """A page of credits; `balances` is what could be used at the moment asked for, by currency, of all of them."""

    results = CreditShape(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    balances = serializers.DictField(child=CharField())


class CostSumShape(Shape):
    currency = CharField()
    by_kind = serializers.DictField(
        child=CharField(), help_text="infrastructure_estimated, infrastructure, models, overhead"
    )
    total = CharField()


class DayCostsShape(Shape):
    date = serializers.DateField(help_text="UTC; what belongs to the whole month is on its first day")
    currency = CharField()
    by_kind = serializers.DictField(child=CharField())


class ServiceCostShape(Shape):
    service = CharField(allow_blank=True, help_text="as the provider's bill names it")
    currency = CharField()
    amount = CharField()


class UnpricedTokensShape(Shape):
    model = CharField(allow_blank=True)
    meter = CharField()
    tokens = CharField()


class CostsShape(Shape):
    period = CharField()
    totals = CostSumShape(many=True)
    days = DayCostsShape(many=True)
    services = ServiceCostShape(many=True)
    unpriced = UnpricedTokensShape(many=True, help_text="tokens that no price is known for: in no sum")
    unknown_resources = IntegerField(
        help_text="of the stack, without a price: the estimate is at least as told"
    )


class CostImportShape(Shape):
    id = UUIDField(help_text="of a dry run nothing is kept under it")
    feed = CharField()
    format = ChoicesField("cur", "focus")
    mode = ChoicesField(*MODES)
    sha256 = CharField()
    lines = IntegerField()
    final = IntegerField(help_text="lines that are on an invoice of the provider")
    changed = IntegerField(help_text="lines that differ from what was told before")
    untagged = IntegerField(help_text="lines without a tenant's tag: overhead")
    unknown_tags = serializers.DictField(child=IntegerField(), help_text="tags of no tenant: overhead too")
    posted = serializers.DictField(child=CharField(), help_text="the difference posted, by currency")
    created_at = DateTimeField()


class CostImportAnswerShape(CostImportShape):
    fresh = serializers.BooleanField(help_text="false: this very file was imported before, nothing was done")
    dry_run = serializers.BooleanField()


class MarginSumShape(Shape):
    currency = CharField()
    revenue = CharField(help_text="after promotional credits, with breakage")
    not_invoiced = CharField(help_text="part of revenue")
    costs = serializers.DictField(
        child=CharField(), help_text="infrastructure_estimated, infrastructure, models, overhead, bad_debt"
    )
    cost = CharField()
    margin = CharField()
    margin_percent = CharField(allow_null=True, help_text="null where nothing was earned")
    idle_cost = CharField(help_text="part of cost: GPUs paid for while no run was going")


class GpuSumShape(Shape):
    paid_hours = CharField()
    busy_hours = CharField()
    idle_hours = CharField()
    billed_hours = CharField()


class MarginAnswerShape(Shape):
    tenant = CharField(allow_null=True, help_text="null: the fleet's own book")
    period = CharField()
    lines = MarginSumShape(many=True, help_text="one per currency; currencies are never added up")
    gpu = GpuSumShape(allow_null=True)


class FleetMarginShape(Shape):
    period = CharField()
    totals = MarginSumShape(many=True)
    tenants = MarginAnswerShape(many=True)
