"""Whoever looks: pages show times in their zone and speak their language. The API knows neither."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.decorators import sync_and_async_middleware

from controlplane.accounts.models import User
from controlplane.accounts.preferences import zone_of

#: Set by the portal's script: what the browser calls its zone. It is only ever looked up in a list.
ZONE_COOKIE: Final = "freehold-zone"
#: Paths that are no pages. What they say must not depend on who asks, and most need no session.
_NO_PAGES: Final = ("/api/", "/static/", "/healthz", "/readyz", "/metrics")

SAVED: Final = "saved"
BROWSER: Final = "browser"
NOBODY: Final = "nobody"


@dataclass(frozen=True)
class Look:
    """`source` says who chose the zone; `language` empty leaves it as the request has it."""

    zone: tzinfo
    source: str
    language: str


def look_of(request: HttpRequest) -> Look:
    user = request.user if isinstance(request.user, User) else None
    language = user.language if user and user.language in dict(settings.LANGUAGES) else ""
    if user and (zone := zone_of(user.time_zone)):
        return Look(zone, SAVED, language)
    if zone := zone_of(request.COOKIES.get(ZONE_COOKIE, "")):
        return Look(zone, BROWSER, language)
    return Look(UTC, NOBODY, language)


def _enter(stack: ExitStack, request: HttpRequest, look: Look) -> None:
    request.META["freehold.zone_source"] = look.source
    stack.enter_context(timezone.override(look.zone))
    if look.language:
        stack.enter_context(translation.override(look.language))
        request.META["freehold.language"] = look.language


def _told(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    # The language's own middleware stands further out, where the choice of this one is over.
    if language := request.META.get("freehold.language"):
        response.headers.setdefault("Content-Language", language)
    return response


@sync_and_async_middleware
def ViewerMiddleware(
    get_response: Any,
) -> Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Comes after the session's middleware, and after the one that reads the browser's language."""
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponse:
            if request.path.startswith(_NO_PAGES):
                plain: HttpResponse = await get_response(request)
                return plain
            # Not auser(): it would read the person anew, and the view asks for `user`.
            look = await sync_to_async(look_of)(request)
            with ExitStack() as stack:
                _enter(stack, request, look)
                return _told(request, await get_response(request))

        return handle_async

    def handle(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_NO_PAGES):
            plain: HttpResponse = get_response(request)
            return plain
        with ExitStack() as stack:
            _enter(stack, request, look_of(request))
            return _told(request, get_response(request))

    return handle
