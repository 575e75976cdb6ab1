"""Gives every request an id that logs, problems and the answer share."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from controlplane.core.ids import uuid7

_SAFE = re.compile(r"^[A-Za-z0-9._-]{1,128}$")

SyncHandler = Callable[[HttpRequest], HttpResponse]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]


def _begin(request: HttpRequest) -> str:
    offered = request.headers.get("X-Request-Id", "")
    # Only a plain token is echoed: a header of the caller's making must not shape our log lines.
    request_id = offered if _SAFE.match(offered) else str(uuid7())
    structlog.contextvars.bind_contextvars(request_id=request_id)
    request.META["freehold.request_id"] = request_id
    return request_id


@sync_and_async_middleware
def RequestIdMiddleware(get_response: Any) -> SyncHandler | AsyncHandler:
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponse:
            request_id = _begin(request)
            try:
                response: HttpResponse = await get_response(request)
            finally:
                structlog.contextvars.unbind_contextvars("request_id")
            response.headers["X-Request-Id"] = request_id
            return response

        return handle_async

    def handle(request: HttpRequest) -> HttpResponse:
        request_id = _begin(request)
        try:
            response: HttpResponse = get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response.headers["X-Request-Id"] = request_id
        return response

    return handle
