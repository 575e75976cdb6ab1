"""Where a form was sent from: the page to go back to when it cannot be taken."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django.urls import Resolver404, resolve


def form_page(request: HttpRequest) -> str:
    """The page of ours that sent this request, if it may be read again; else empty."""
    parts = urlsplit(request.headers.get("Referer", ""))
    if parts.netloc != request.get_host() or parts.path.startswith(("/account/", "/api/")):
        return ""
    try:
        found = resolve(parts.path)
    except Resolver404:
        return ""
    # A refused form is shown again under its own address, and most of those take forms only.
    if "GET" not in getattr(found.func, "methods", ("GET",)):
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
