"""The official SDK posts in all three modes, and an event is the same event in each."""

from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from billing.metering.models import UsageEventKey
from contracts.usage import TOOL_USAGE
from tests.controlplane.api.test_usage import BATCH, sender
from tests.support.people import ApiClient

__all__ = ["sender"]
#: What a header cannot carry as it is: the SDK percent-encodes it.
IDS = ("plain", 'näme 100% "quoted"', "\U0001f600")


def _event(event_id: str) -> CloudEvent:
    return CloudEvent(
        attributes={
            "id": event_id,
            "source": "/tenants/acme/runtime/r0",
            "type": TOOL_USAGE,
            "subject": "acme",
            "time": datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC),
            "datacontenttype": "application/json",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
        data={"run_id": "r", "step": 1, "user": "ü", "agent": "a", "tool": "t", "cached": False},
    )


def _post(client: ApiClient, message: HTTPMessage) -> Any:
    headers = {name.lower(): value for name, value in message.headers.items()}
    content_type = headers.pop("content-type")
    answer = client("POST", "/usage/events", message.body, content_type=content_type, headers=headers)
    assert answer.status_code == 200, answer.content
    return [result["outcome"] for result in answer.json()["results"]]


def test_the_sdk_posts_structured_binary_and_batched(sender: ApiClient) -> None:
    events = [_event(event_id) for event_id in IDS]
    for event in events:
        assert _post(sender, to_structured_event(event)) == ["accepted"]
        assert _post(sender, to_binary_event(event)) == ["duplicate"]
    written = [JSONFormat().write(event) for event in events]
    batch = b"[" + b",".join(each if isinstance(each, bytes) else each.encode() for each in written) + b"]"
    assert _post(sender, HTTPMessage(headers={"content-type": BATCH}, body=batch)) == ["duplicate"] * 3
    assert set(UsageEventKey.objects.values_list("event_id", flat=True)) == set(IDS)
