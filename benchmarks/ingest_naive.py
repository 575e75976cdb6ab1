"""What everybody writes first: each event for itself, by the ORM."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from benchmarks.figures import Figure, single
from benchmarks.ingest_events import Stream
from benchmarks.progress import say

EVENTS = 500
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def naive_figures() -> list[Figure]:
    from billing.metering.partitions import partitions_ensure

    partitions_ensure(at=datetime.now(UTC))
    stream = Stream("naive", 1)
    events = json.loads(stream.body(0))[:EVENTS]
    started = time.perf_counter()
    for event in events:
        _store(stream, event)
    took = time.perf_counter() - started
    say(f"row by row: {len(events) / took:.0f} events/s")
    return [single("row by row by the ORM: new events", "events/s", len(events) / took, n=len(events))]


def _store(stream: Stream, event: dict[str, Any]) -> None:
    from django.db import transaction
    from django.db.models import F

    from billing.metering.models import UsageEventChunk, UsageEventKey, UsageRollup

    identity = {"tenant_id": stream.tenant_id, "source": event["source"], "event_id": event["id"]}
    now, when = datetime.now(UTC), datetime.fromisoformat(event["time"])
    with transaction.atomic():
        _, fresh = UsageEventKey.objects.get_or_create(
            **identity, defaults={"body_hash": b"", "received_at": now, "time": when}
        )
        if not fresh:
            return
        hour = when.replace(minute=0, second=0, microsecond=0)
        body = json.dumps([event]).encode()
        UsageEventChunk.objects.create(
            tenant_id=stream.tenant_id, type=event["type"], hour=hour, received_at=now, events=1, body=body
        )
        for meter in TOKENS:
            rollup, _ = UsageRollup.objects.get_or_create(
                tenant_id=stream.tenant_id,
                meter=meter,
                bucket=when.replace(minute=when.minute - when.minute % 15, second=0),
                dimensions={"agent": event["data"]["agent"], "model": event["data"]["model"]},
                defaults={"value": Decimal(0)},
            )
            UsageRollup.objects.filter(pk=rollup.pk).update(value=F("value") + Decimal(event["data"][meter]))
