"""/api/v1/operations/{id}/events: the timeline as server-sent events, or as JSON pages.

Ids are durable row ids, so `Last-Event-ID` (or `?cursor=`) resumes without a gap. Control frames carry no id.
The stream ends by itself with an event named `close` that holds the operation's final state.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import (
    HttpRequest,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.exceptions import MethodNotAllowed, Throttled
from rest_framework.request import Request
from rest_framework.views import APIView

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require
from controlplane.api.authentication import principal_of_request
from controlplane.api.base import MAX_LIMIT, limit_read, whole_number
from controlplane.api.bell import bell
from controlplane.api.document import OPERATION_ID, Document, documented, query
from controlplane.api.limits import limit_headers_set, request_count
from controlplane.api.problems import problem_json_response
from controlplane.api.shapes import EventShape, page_of
from controlplane.core.clock import moment_text
from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.operations import states
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.selectors import events_after, operation_get, operation_representation

HEARTBEAT_S = 15.0
PAGE = 500


def _open(request: HttpRequest, operation_id: UUID) -> tuple[Principal, int]:
    principal = principal_of_request(request)
    standing = request_count(request, principal)
    if standing is not None and standing.exceeded:
        raise Throttled(wait=standing.reset_s)
    access_require(principal, roles.OPERATIONS_READ)
    operation_get(principal=principal, operation_id=operation_id)
    raw = request.headers.get("Last-Event-ID") or request.GET.get("cursor") or "0"
    cursor = whole_number(raw)
    if cursor is None:
        raise ValidationFailed.of("cursor", "must be the id of an event")
    return principal, cursor


def _wants_json(request: HttpRequest) -> bool:
    accept = request.headers.get("Accept", "")
    return "application/json" in accept and "text/event-stream" not in accept


@csrf_exempt  # it reads only; other methods are refused by it
async def operation_events(request: HttpRequest, operation_id: UUID) -> HttpResponseBase:
    response = await _answer(request, operation_id)
    limit_headers_set(request, response)
    return response


async def _answer(request: HttpRequest, operation_id: UUID) -> HttpResponseBase:
    if request.method != "GET":
        refusal = problem_json_response(MethodNotAllowed(str(request.method)), request)
        refusal.headers["Allow"] = "GET"
        return refusal
    try:
        principal, cursor = await sync_to_async(_open)(request, operation_id)
        limit = limit_read(request.GET, default=MAX_LIMIT)
    except (FreeholdError, Throttled) as error:
        return problem_json_response(error, request)
    if _wants_json(request):
        return await sync_to_async(_page)(request, operation_id, cursor, limit)
    response = StreamingHttpResponse(
        _stream(principal, operation_id, cursor), content_type="text/event-stream"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _page(request: HttpRequest, operation_id: UUID, cursor: int, limit: int) -> JsonResponse:
    rows = events_after(operation_id=operation_id, cursor=cursor, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    following = (
        request.build_absolute_uri(f"{request.path}?limit={limit}&cursor={rows[-1].id}") if more else None
    )
    return JsonResponse({"results": [_event(row) for row in rows], "next": following, "previous": None})


def _event(row: OperationEvent) -> dict[str, Any]:
    return {"id": row.id, "at": moment_text(row.at), "type": row.type, "data": row.data}


def _look(principal: Principal, operation_id: UUID, cursor: int) -> tuple[list[OperationEvent], Operation]:
    # The operation first: if it has ended by then, the events read after it are complete.
    operation = operation_get(principal=principal, operation_id=operation_id)
    return events_after(operation_id=operation_id, cursor=cursor, limit=PAGE), operation


async def _stream(principal: Principal, operation_id: UUID, cursor: int) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    async with bell.watch(str(operation_id)) as news:
        while True:
            news.clear()
            rows, operation = await sync_to_async(_look)(principal, operation_id, cursor)
            for row in rows:
                cursor = row.id
                yield _frame(json.dumps(_event(row)), event=row.type, id=row.id)
            if len(rows) == PAGE:
                continue
            if operation.state in states.TERMINAL:
                final = await sync_to_async(operation_representation)(operation, slug=operation.tenant.slug)
                yield _frame(json.dumps(final), event="close")
                return
            try:
                await asyncio.wait_for(news.wait(), timeout=HEARTBEAT_S)
            except TimeoutError:
                yield b": heartbeat\n\n"


def _frame(data: str, *, event: str, id: int | None = None) -> bytes:
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {event}\ndata: {data}\n\n".encode()


class OperationEventsDocumentation(APIView):
    """Never called: DRF has no asynchronous views, and the document needs a class to describe the path."""

    schema = Document()

    @documented(
        "operations_events",
        "Follow an operation's timeline",
        tag="operations",
        description=(
            "Server-sent events; with `Accept: application/json`, pages of the same events. Each event has the "
            "durable `id` of its row, its `type` as the name, and the event as JSON in `data`, so a client that "
            "lost its connection resumes without a gap by `Last-Event-ID`. The stream ends with an event `close`, "
            "without an id, whose data is the operation in its final state."
        ),
        parameters=[
            OPERATION_ID,
            query(
                "limit",
                "events on a page of JSON",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT},
            ),
            query("cursor", "the last event seen, as `Last-Event-ID`", {"type": "integer", "minimum": 0}),
            OpenApiParameter(
                "Last-Event-ID",
                {"type": "integer", "minimum": 0},
                OpenApiParameter.HEADER,
                description="the last event seen; goes before `cursor`",
            ),
        ],
        answers={
            (200, "application/json"): page_of(EventShape),
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, "events until the operation ends"),
        },
        problems=[404, 422],
    )
    def get(self, request: Request, operation_id: UUID) -> None:
        raise NotImplementedError


# What the document's generator looks for on a view.
operation_events.cls = OperationEventsDocumentation  # type: ignore[attr-defined]
operation_events.initkwargs = {}  # type: ignore[attr-defined]
