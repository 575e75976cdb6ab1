"""Django looks for models here; each room keeps its own."""

from billing.metering.models import (
    GaugeSample,
    ResourceSpan,
    SpanSlot,
    UsageEvent,
    UsageEventKey,
    UsageRollup,
)

__all__ = ["GaugeSample", "ResourceSpan", "SpanSlot", "UsageEvent", "UsageEventKey", "UsageRollup"]
