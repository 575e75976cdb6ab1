"""Django looks for models here; each room keeps its own."""

from billing.agreements.models import Agreement, AgreementPhase, RateCardVersion
from billing.costs.models import CostImport, CostLine
from billing.ledger.models import CreditGrant, JournalEntry, JournalTransaction, LedgerBook
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
    "CostImport",
    "CostLine",
    "CreditGrant",
    "GaugeSample",
    "JournalEntry",
    "JournalTransaction",
    "LedgerBook",
    "RateCardVersion",
    "ResourceSpan",
    "SpanSlot",
    "UsageCorrection",
    "UsageEvent",
    "UsageEventKey",
    "UsageMember",
    "UsageRollup",
]
