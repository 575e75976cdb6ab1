"""Reading CloudEvents from a request, and sorting them to the tenants their sender may speak for."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing.metering.services import usage_ingest
from contracts.usage import IngestAnswer, IngestResult
from controlplane.accounts.access import Principal
from controlplane.core.errors import CallerError
from controlplane.tenants.selectors import tenants_visible

MAX_BATCH = 1000


def events_of_body(*, content_type: str, headers: Mapping[str, str], body: bytes) -> list[Any]:
    """The events of a request in any of the three CloudEvents HTTP modes. Raises CallerError for anything else."""
    media = content_type.split(";")[0].strip().lower()
    if media.startswith("application/cloudevents-batch"):
        events = _json(body)
        if not isinstance(events, list):
            raise CallerError("A batch must be a JSON array of events.", code="malformed_body")
        return events
    if media.startswith("application/cloudevents"):
        event = _json(body)
        if not isinstance(event, dict):
            raise CallerError("A structured event must be a JSON object.", code="malformed_body")
        return [event]
    attributes = {
        name[3:].lower(): value for name, value in headers.items() if name.lower().startswith("ce-")
    }
    if attributes:
        return [{**attributes, "datacontenttype": media or "application/json", "data": _json(body)}]
    raise _WrongMediaType(
        "Send application/cloudevents+json, application/cloudevents-batch+json, or a binary event with ce-* headers."
    )


def envelope_of(*, content_type: str, headers: Mapping[str, str]) -> bytes:
    """What a request says of its events outside its body, in one spelling."""
    attributes = {name.lower(): value for name, value in headers.items() if name.lower().startswith("ce-")}
    return json.dumps([content_type, attributes], sort_keys=True).encode()


class _WrongMediaType(CallerError):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported Media Type"


def _json(body: bytes) -> Any:
    try:
        # Numbers stay exact: a float would round token counts and bytes.
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise CallerError(f"The body is not JSON: {error}.", code="malformed_body") from error


def ingest(*, principal: Principal, events: list[Any], received_at: datetime) -> IngestAnswer:
    """Stores each event with the tenant its subject names. One answer, in the order the events came in."""
    results: list[IngestResult | None] = [None] * len(events)
    by_subject: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        subject = event.get("subject") if isinstance(event, dict) else None
        if isinstance(subject, str) and "\x00" not in subject:
            by_subject.setdefault(subject, []).append(index)
        else:
            event_id = str(event.get("id", "")) if isinstance(event, dict) else ""
            results[index] = IngestResult(
                id=event_id, outcome="rejected", reason="subject: must be a tenant's slug"
            )
    visible = tenants_visible(principal=principal).filter(slug__in=by_subject).order_by("created_at")
    # Of several tenants that had a slug, the living or the newest one is meant.
    tenants = {tenant.slug: tenant for tenant in visible}
    for subject, indexes in by_subject.items():
        tenant = tenants.get(subject)
        if tenant is None:
            for index in indexes:
                reason = "subject: no tenant of that slug that this key may write for"
                results[index] = IngestResult(
                    id=str(events[index].get("id", "")), outcome="rejected", reason=reason
                )
            continue
        answer = usage_ingest(
            tenant_id=tenant.id,
            subject=subject,
            events=[events[index] for index in indexes],
            received_at=received_at,
        )
        for index, result in zip(indexes, answer.results, strict=True):
            results[index] = result
    final = [result for result in results if result is not None]
    counts = {
        name: sum(result.outcome == name for result in final)
        for name in ("accepted", "duplicate", "conflict")
    }
    return IngestAnswer(**counts, rejected=sum(r.outcome == "rejected" for r in final), results=final)
