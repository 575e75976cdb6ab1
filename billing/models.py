"""Django looks for models here; each room keeps its own."""

from billing.agreements.models import (
    Agreement,
    AgreementPhase,
    RateCardVersion,
)
from billing.budgets.models import Budget, BudgetAlert
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
    MonthBalance,
    MonthGpu,
)
from billing.metering.models import (
    GaugeSample,
    ResourceSpan,
    SpanSlot,
    UsageCorrection,
    UsageEventChunk,
    UsageEventKey,
    UsageMember,
    UsageRollup,
)
from billing.reports.models import ReportDelivery, ReportLink, ReportSchedule
from billing.standing.models import Standing, StandingCause, StandingChange

__all__ = [
    "Agreement",
    "AgreementPhase",
    "BillingProfile",
    "Budget",
    "BudgetAlert",
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
    "MonthBalance",
    "MonthGpu",
    "PeriodClose",
    "RateCardVersion",
    "ReportDelivery",
    "ReportLink",
    "ReportSchedule",
    "ResourceSpan",
    "Settlement",
    "SpanSlot",
    "Standing",
    "StandingCause",
    "StandingChange",
    "TenantClose",
    "UsageCorrection",
    "UsageEventChunk",
    "UsageEventKey",
    "UsageMember",
    "UsageRollup",
]
