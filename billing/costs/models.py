"""Tables of the cost feed: the newest word on each line, and which files were read. Amounts live in the journal."""

from django.db import models

from controlplane.core.ids import uuid7


class CostImport(models.Model):
    """A file of a cost feed that was read, once per content. `pool_id` is the fleet's own book (the team's id)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    pool_id = models.UUIDField()
    feed = models.CharField(max_length=80)
    format = models.CharField(max_length=16)
    mode = models.CharField(max_length=16)
    sha256 = models.CharField(max_length=64)
    lines = models.PositiveIntegerField()
    #: What reading it found: {final, unknown_tags, posted: {currency: amount}}.
    summary = models.JSONField(default=dict)
    actor = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool_id", "feed", "sha256"], name="cost_import_once")]

    def __str__(self) -> str:
        return f"{self.feed} {self.sha256[:12]}"


class CostLine(models.Model):
    """A line of a provider's bill as it was last told. `book_id` is the tenant's, or the pool's for what no tenant's
    tag claims; `final` once it is on an invoice of the provider."""

    pool_id = models.UUIDField()
    feed = models.CharField(max_length=80)
    #: The provider's billing month, YYYY-MM.
    billing_period = models.CharField(max_length=7)
    line_id = models.TextField()
    book_id = models.UUIDField()
    tag = models.TextField(blank=True)
    day = models.DateField()
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    final = models.BooleanField()
    service = models.TextField(blank=True)
    cost_import = models.ForeignKey(CostImport, on_delete=models.PROTECT, related_name="held")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["pool_id", "feed", "billing_period", "line_id"], name="cost_line_once"
            )
        ]
        indexes = [models.Index(fields=["book_id", "day"], name="cost_line_of_book")]

    def __str__(self) -> str:
        return f"{self.line_id} {self.amount} {self.currency}"
