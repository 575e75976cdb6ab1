"""Django looks for models here; each room keeps its own."""

from billing.ledger.models import CreditGrant, JournalEntry, JournalTransaction, LedgerBook
from billing.metering.models import (
    GaugeSample,
    ResourceSpan,
    SpanSlot,
    UsageEvent,
    UsageEventKey,
    UsageRollup,
)

__all__ = [
    "CreditGrant",
    "GaugeSample",
    "JournalEntry",
    "JournalTransaction",
    "LedgerBook",
    "ResourceSpan",
    "SpanSlot",
    "UsageEvent",
    "UsageEventKey",
    "UsageRollup",
]
