"""Tables of invoicing. Triggers of the migration keep issued invoices, their lines and credit notes as they are."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from billing.invoicing import states
from controlplane.core.ids import uuid7


def _choices(values: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


#: Amounts are whole minor units of the invoice's currency, of which no currency has more than four places; quantities,
#: prices and amounts before rounding are kept exactly.
MONEY_DIGITS, MONEY_PLACES = 38, 4
EXACT_DIGITS, EXACT_PLACES = 90, 40


class LegalEntity(models.Model):
    """Who a team invoices as: the seller on its invoices, the payment terms and the taxes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField(unique=True)
    name = models.CharField(max_length=200)
    address = models.JSONField(default=list)
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    email = models.EmailField(blank=True)
    payment_details = models.CharField(max_length=500, blank=True)
    due_days = models.PositiveSmallIntegerField(default=14)
    number_prefix = models.CharField(max_length=12, default="INV")
    credit_note_prefix = models.CharField(max_length=12, default="CN")
    tax_provider = models.CharField(max_length=20, default="none")
    #: Of the provider `fixed`: [{country, rate, name, since, until}], see tax.py.
    tax_rates = models.JSONField(default=list)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class BillingProfile(models.Model):
    """The buyer on a tenant's invoices, where it differs from the tenant's name and contact."""

    tenant_id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=200, blank=True)
    address = models.JSONField(default=list)
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    email = models.EmailField(blank=True)
    purchase_order = models.CharField(max_length=80, blank=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name or str(self.tenant_id)


class InvoiceSeries(models.Model):
    """The numbers of a legal entity's documents. `next_number` is taken under the row's lock (numbering.py)."""

    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="series")
    kind = models.CharField(max_length=12, choices=_choices(("invoice", "credit_note")))
    prefix = models.CharField(max_length=12)
    next_number = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "kind", "prefix"], name="invoice_series_once")
        ]

    def __str__(self) -> str:
        return f"{self.prefix} from {self.next_number}"


class Invoice(models.Model):
    """What a tenant owes for a period. total = subtotal - credits + tax.

    `as_of` and `known_at` say with which usage it was rated, so that it can be computed again. `seller` and `buyer`
    are as they were at finalization; `cards` holds every rate card its lines name, with the prices.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=12, choices=_choices(states.INVOICE_KINDS), default=states.REGULAR)
    state = models.CharField(max_length=16, choices=_choices(states.STATES), default=states.DRAFT)
    team_id = models.UUIDField()
    tenant_id = models.UUIDField()
    legal_entity = models.ForeignKey(
        LegalEntity, on_delete=models.PROTECT, null=True, related_name="invoices"
    )
    number = models.CharField(max_length=40, null=True)
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    as_of = models.DateTimeField()
    known_at = models.DateTimeField()
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    cards = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    #: The plan's card it was rated by where the tenant had no agreement.
    fallback_card = models.JSONField(null=True)
    rate_card_key = models.CharField(max_length=80, blank=True)
    rate_card_version = models.PositiveIntegerField(default=0)
    subtotal = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, default=0)
    credits = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, default=0)
    tax = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, default=0)
    total = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, default=0)
    tax_note = models.CharField(max_length=300, blank=True)
    #: SHA-256 of the invoice's own records of the export (export.py); printed on the PDF.
    fingerprint = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    finalized_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    paid_amount = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, null=True)
    payment_reference = models.CharField(max_length=200, blank=True)
    voided_at = models.DateTimeField(null=True)
    uncollectible_at = models.DateTimeField(null=True)
    state_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "period_start", "period_end", "currency"],
                condition=Q(kind=states.REGULAR) & ~Q(state=states.VOID),
                name="one_invoice_per_period",
            ),
            models.UniqueConstraint(
                fields=["legal_entity", "number"],
                condition=Q(number__isnull=False),
                name="invoice_number_once",
            ),
            models.CheckConstraint(
                condition=Q(state=states.DRAFT, number__isnull=True)
                | (~Q(state=states.DRAFT) & Q(number__isnull=False, finalized_at__isnull=False)),
                name="invoice_numbered_when_issued",
            ),
        ]
        indexes = [
            models.Index(fields=["team_id", "-created_at"], name="invoice_of_team"),
            models.Index(fields=["tenant_id", "period_start"], name="invoice_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.number or f"draft {self.id}"


class InvoiceLine(models.Model):
    """One charge over its service period. `quantity` is what is charged: `used` less what was `included`.

    `exact` is what it came to before rounding, `amount` its share of the rounded total. `tax_rate` and `tax_amount`
    are the tax on this line, of which the lines of kind `tax` are the sums. A line of kind `correction` has the
    quantity and amount by which late usage of a closed period differs from what was invoiced for it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=_choices(states.LINE_KINDS))
    key = models.TextField()
    meter = models.CharField(max_length=80)
    description = models.TextField()
    unit = models.CharField(max_length=40)
    start = models.DateTimeField()
    end = models.DateTimeField()
    used = models.DecimalField(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES)
    included = models.DecimalField(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES)
    quantity = models.DecimalField(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES)
    unit_price = models.DecimalField(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES)
    exact = models.DecimalField(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES)
    amount = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES)
    #: [{first, last, quantity, unit_price, flat, exact}], decimals as text.
    parts = models.JSONField(default=list)
    rate_card_key = models.CharField(max_length=80, blank=True)
    rate_card_version = models.PositiveIntegerField(default=0)
    tax_rate = models.DecimalField(max_digits=9, decimal_places=6, default=0)
    tax_amount = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, default=0)
    settlement = models.ForeignKey(
        "Settlement", on_delete=models.PROTECT, null=True, related_name="invoice_lines"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.description} {self.amount}"


class CreditNote(models.Model):
    """Takes back a part of an issued invoice, with a number of its own. Never changed. total = amount + tax."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    team_id = models.UUIDField()
    tenant_id = models.UUIDField()
    number = models.CharField(max_length=40)
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="credit_notes")
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES)
    tax = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES)
    total = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES)
    reason = models.CharField(max_length=500)
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    #: [{key, meter, description, start, end, quantity, unit, amount}], decimals as text, amounts to be paid back.
    lines = models.JSONField(default=list)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "number"], name="credit_note_number_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_note_positive"),
        ]
        indexes = [models.Index(fields=["team_id", "-created_at"], name="credit_note_of_team")]

    def __str__(self) -> str:
        return self.number


class Settlement(models.Model):
    """By how much a closed period, re-rated with what is known at `known_at`, differs from what was settled before.

    A positive `net` waits (pending) for an invoice to carry its lines; a negative one is a credit note at once.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    base = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="settlements")
    tenant_id = models.UUIDField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=12, choices=_choices(states.SETTLEMENT_STATES))
    known_at = models.DateTimeField()
    net = models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES)
    #: [{key, kind, meter, description, unit, start, end, used, included, quantity, unit_price, exact, amount,
    #: rate_card_key, rate_card_version}], decimals as text: each by how much it differs.
    lines = models.JSONField(default=list)
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, related_name="carried_settlements"
    )
    credit_note = models.OneToOneField(
        CreditNote, on_delete=models.PROTECT, null=True, related_name="settlement"
    )
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["base"], condition=Q(state=states.PENDING), name="one_pending_settlement_per_invoice"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "state"], name="settlement_of_tenant")]

    def __str__(self) -> str:
        return f"{self.net} {self.currency} {self.state}"


class InvoiceExport(models.Model):
    """The head of an invoice's hash-chained export, kept from when it was first written: it never changes."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, primary_key=True, related_name="export")
    records = models.PositiveBigIntegerField()
    head = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.head


class PeriodClose(models.Model):
    """The close of a team's month. `known_at` is set once, so that every run rates with the same usage."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    state = models.CharField(
        max_length=12, choices=_choices(states.CLOSE_STATES), default=states.CLOSE_RUNNING
    )
    known_at = models.DateTimeField()
    started_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team_id", "period_start", "period_end"], name="one_close_per_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.period_start:%Y-%m} {self.state}"


class TenantClose(models.Model):
    """Where one tenant stands in a close. `detail` says why it is held, skipped or failed, with the figures."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    close = models.ForeignKey(PeriodClose, on_delete=models.PROTECT, related_name="tenants")
    tenant_id = models.UUIDField()
    slug = models.CharField(max_length=40)
    state = models.CharField(
        max_length=12, choices=_choices(states.TENANT_STATES), default=states.TENANT_PENDING
    )
    detail = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="closes")
    released_by = models.CharField(max_length=200, blank=True)
    release_reason = models.CharField(max_length=500, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["close", "tenant_id"], name="tenant_once_per_close")]
        indexes = [models.Index(fields=["close", "state"], name="tenant_close_state")]

    def __str__(self) -> str:
        return f"{self.slug} {self.state}"
