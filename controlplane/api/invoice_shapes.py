"""The shapes of invoices, credit notes and closes as the OpenAPI document shows them. Documentation only."""

# A member may have the name of an attribute of serializers (`errors`, `data`): DRF keeps declared fields apart.
# mypy: disable-error-code="assignment"

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.serializers import CharField, DateField, DateTimeField, IntegerField, UUIDField

from billing.invoicing import states
from controlplane.api.money_shapes import PERIOD, InvoiceLineShape, PeriodShape, RateCardShape
from controlplane.api.shapes import AnyField, ChoicesField, Shape


class PartyShape(Shape):
    name = CharField()
    address = serializers.ListField(child=CharField())
    country = CharField(allow_blank=True)
    tax_id = CharField(allow_blank=True)
    email = CharField(allow_blank=True)
    purchase_order = CharField(allow_blank=True)


class SellerShape(Shape):
    name = CharField()
    address = serializers.ListField(child=CharField())
    country = CharField(allow_blank=True)
    tax_id = CharField(allow_blank=True)
    email = CharField(allow_blank=True)
    payment_details = CharField(allow_blank=True)


class TaxLineShape(Shape):
    id = UUIDField()
    description = CharField()
    amount = CharField()


class CreditNoteLineShape(Shape):
    """By how much a charge differs from what was invoiced: negative for what is taken back."""

    description = CharField()
    meter = CharField()
    start = DateTimeField()
    end = DateTimeField()
    quantity = CharField()
    unit = CharField()
    amount = CharField()


class CreditNoteShape(Shape):
    id = UUIDField()
    number = CharField()
    invoice = UUIDField(help_text="the invoice that is credited")
    currency = CharField()
    amount = CharField(help_text="net")
    tax = CharField()
    total = CharField()
    reason = CharField()
    lines = CreditNoteLineShape(many=True)
    created_at = DateTimeField()


class ExportHeadShape(Shape):
    records = IntegerField()
    head = CharField(help_text="hash of the export's last record")


class StoredInvoiceShape(Shape):
    """total = subtotal - credits + tax. Nothing but the state changes once it is finalized."""

    id = UUIDField()
    kind = CharField(help_text="regular: a month's; correction: late usage, invoiced at once")
    number = CharField(allow_null=True, help_text="null for a draft")
    state = ChoicesField(*states.STATES)
    state_reason = CharField(allow_blank=True)
    tenant = CharField(help_text="slug")
    customer = PartyShape()
    seller = SellerShape(allow_null=True)
    period = PeriodShape()
    as_of = DateTimeField()
    rate_card = RateCardShape()
    currency = CharField()
    lines = InvoiceLineShape(many=True)
    taxes = TaxLineShape(many=True)
    tax_note = CharField(allow_blank=True)
    subtotal = CharField()
    credits = CharField()
    tax = CharField()
    total = CharField()
    amount_due = CharField(help_text="what is left to pay")
    credit_notes = CreditNoteShape(many=True)
    created_at = DateTimeField()
    finalized_at = DateTimeField(allow_null=True)
    due_date = DateField(allow_null=True)
    paid_at = DateTimeField(allow_null=True)
    payment_reference = CharField(allow_blank=True)
    voided_at = DateTimeField(allow_null=True)
    uncollectible_at = DateTimeField(allow_null=True)
    fingerprint = CharField(allow_null=True, help_text="SHA-256 that stands for every word on it")
    export = ExportHeadShape(allow_null=True, help_text="once it was exported")


class ExplainedEventShape(Shape):
    source = CharField()
    id = CharField()
    time = DateTimeField()
    value = CharField(help_text="what it adds to the line's `used`")


WINDOW: dict[str, Any] = {**PERIOD, "value": CharField()}


class LineExplanationShape(Shape):
    """`windows`, and all pages of `events`, add up to the line's `used`."""

    line = serializers.DictField(child=AnyField())
    arithmetic = CharField(help_text="how the quantity became the amount")
    parts = serializers.ListField(child=serializers.DictField(child=AnyField()))
    rate_card = serializers.DictField(child=AnyField())
    price = serializers.DictField(child=AnyField(), allow_null=True)
    known_at = DateTimeField(help_text="the usage is shown as it was known then")
    windows = inline_serializer("LineWindow", fields=WINDOW, many=True)
    windows_total = CharField()
    events = ExplainedEventShape(many=True)
    next = CharField(allow_null=True, help_text="`cursor` of the next page of events")


class SettlementShape(Shape):
    """What late usage of a closed month comes to."""

    state = ChoicesField(*states.SETTLEMENT_STATES, "unchanged")
    net = CharField(help_text="the difference: to be invoiced, or credited when negative")
    currency = CharField()
    invoice = UUIDField(allow_null=True)
    credit_note = UUIDField(allow_null=True)


class TenantCloseShape(Shape):
    tenant = CharField()
    tenant_id = UUIDField()
    state = ChoicesField(*states.TENANT_STATES)
    invoice = UUIDField(allow_null=True)
    detail = serializers.DictField(
        child=AnyField(), help_text="why it is held, skipped or failed, with the figures"
    )
    released_by = CharField(allow_null=True)
    release_reason = CharField(allow_blank=True)
    updated_at = DateTimeField()


class PeriodCloseShape(Shape):
    id = UUIDField()
    period = CharField(help_text="YYYY-MM")
    state = ChoicesField(*states.CLOSE_STATES)
    known_at = DateTimeField(help_text="usage known then is billed")
    started_by = CharField()
    created_at = DateTimeField()
    finished_at = DateTimeField(allow_null=True)
    progress = serializers.DictField(child=IntegerField(), help_text="tenants by state")
    tenants = TenantCloseShape(many=True)


class TaxRateShape(Shape):
    country = CharField(help_text="ISO 3166")
    rate = CharField(help_text="a share: 0.19 is 19 %")
    name = CharField()
    since = DateField()
    until = DateField(allow_null=True)


class LegalEntityShape(SellerShape):
    """Who a team invoices as."""

    due_days = IntegerField()
    number_prefix = CharField()
    credit_note_prefix = CharField()
    tax_provider = ChoicesField("none", "fixed")
    tax_rates = TaxRateShape(many=True)
    updated_at = DateTimeField()
