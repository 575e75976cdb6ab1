"""Reading CloudEvents from a request, and sorting them to the tenants their sender may speak for."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from billing.metering.answers import IngestAnswer, IngestResult, answer_of
from billing.metering.decoding import attribute_of, batch_decode, body_decode, event_decode
from billing.metering.services import usage_ingest
from controlplane.accounts.access import Principal
from controlplane.api.pressure import ingest_gate
from controlplane.core.errors import CallerError
from controlplane.tenants.selectors import tenants_visible

MAX_BATCH = 1000


def events_of_body(*, content_type: str, headers: Mapping[str, str], body: bytes) -> list[Any]:
    """The events of a request in any of the three CloudEvents HTTP modes. Raises CallerError for anything else."""
    media = content_type.split(";")[0].strip().lower()
    try:
        if media.startswith("application/cloudevents-batch"):
            return batch_decode(body)
        if media.startswith("application/cloudevents"):
            return [event_decode(body)]
        attributes = _attributes_read(headers)
        if attributes:
            document = body_decode(body)
            return [{**attributes, "datacontenttype": media or "application/json", "data": document}]
    except TypeError as error:
        raise CallerError(str(error), code="malformed_body") from error
    except (ValueError, RecursionError) as error:
        raise CallerError(f"The body is not JSON: {error}.", code="malformed_body") from error
    raise _WrongMediaType(
        "Send application/cloudevents+json, application/cloudevents-batch+json, or a binary event with ce-* headers."
    )


def envelope_of(*, content_type: str, headers: Mapping[str, str]) -> bytes:
    """What a request says of its events outside its body, in one spelling."""
    attributes = {name.lower(): value for name, value in headers.items() if name.lower().startswith("ce-")}
    return json.dumps([content_type, attributes], sort_keys=True).encode()


def _attributes_read(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return _attributes(headers)
    except UnicodeDecodeError as error:
        raise CallerError("A ce-* header is not percent-encoded UTF-8.", code="malformed_body") from error


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a binary event; what a header cannot carry is percent-encoded there (CloudEvents HTTP binding, 3.1.3.2)."""
    return {
        name[3:].lower(): unquote(value, errors="strict")
        for name, value in headers.items()
        if name.lower().startswith("ce-")
    }


class _WrongMediaType(CallerError):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported Media Type"


def ingest(*, principal: Principal, events: list[Any], received_at: datetime) -> IngestAnswer:
    """Stores each event with the tenant its subject names. One answer, in the order the events came in.

    Raises RetryLater when this process has more to store than it can; nothing of the request is stored then, or, if
    it spoke for several tenants, those that are count as duplicates when it is repeated.
    """
    results: list[IngestResult | None] = [None] * len(events)
    by_subject: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        subject = attribute_of(event, "subject")
        if isinstance(subject, str) and "\x00" not in subject:
            by_subject.setdefault(subject, []).append(index)
        else:
            results[index] = _rejected(event, "subject: must be a tenant's slug")
    with ingest_gate.passed():
        visible = tenants_visible(principal=principal).filter(slug__in=by_subject).order_by("created_at")
        # Of several tenants that had a slug, the living or the newest one is meant.
        tenants = dict(visible.values_list("slug", "id"))
        for subject, indexes in by_subject.items():
            if subject not in tenants:
                for index in indexes:
                    reason = "subject: no tenant of that slug that this key may write for"
                    results[index] = _rejected(events[index], reason)
                continue
            own = events if len(indexes) == len(events) else [events[index] for index in indexes]
            answer = usage_ingest(
                tenant_id=tenants[subject], subject=subject, events=own, received_at=received_at
            )
            for index, result in zip(indexes, answer.results, strict=True):
                results[index] = result
    return answer_of([result for result in results if result is not None])


def _rejected(event: Any, reason: str) -> IngestResult:
    event_id = attribute_of(event, "id")
    return IngestResult("" if event_id is None else str(event_id), "rejected", reason)
