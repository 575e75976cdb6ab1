"""Django looks for models here; each room keeps its own."""

from billing.agreements.models import (
    Agreement,
    AgreementPhase,
    RateCardVersion,
)
from billing.costs.models import (
    CostImport,
    CostLine,
)
from billing.invoicing.models import (
    BillingProfile,
    CreditNote,
    Invoice,
    InvoiceExport,
    InvoiceLine,
    InvoiceSeries,
    LegalEntity,
    PeriodClose,
    Settlement,
    TenantClose,
)
from billing.ledger.models import (
    CreditGrant,
    JournalEntry,
    JournalTransaction,
    LedgerBook,
)
from billing.metering.models import (
    GaugeSample,
    ResourceSpan,
    SpanSlot,
    UsageCorrection,
    UsageEvent,
    UsageEventKey,
    UsageMember,
    UsageRollup,
)

__all__ = [
    "Agreement",
    "AgreementPhase",
    "BillingProfile",
    "CostImport",
    "CostLine",
    "CreditGrant",
    "CreditNote",
    "GaugeSample",
    "Invoice",
    "InvoiceExport",
    "InvoiceLine",
    "InvoiceSeries",
    "JournalEntry",
    "JournalTransaction",
    "LedgerBook",
    "LegalEntity",
    "PeriodClose",
    "RateCardVersion",
    "ResourceSpan",
    "Settlement",
    "SpanSlot",
    "TenantClose",
    "UsageCorrection",
    "UsageEvent",
    "UsageEventKey",
    "UsageMember",
    "UsageRollup",
]
