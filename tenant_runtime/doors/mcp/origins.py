"""Which `Host` and `Origin` may reach the MCP endpoint: a page that a name was rebound for must not talk to it.

A rebound name is one that its owner can point anywhere. Addresses, names without a dot and names that only a
cluster resolves are none; any other has to be the runtime's public one.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tenant_runtime.runtime import Runtime

_INSIDE: Final = (".svc", ".svc.cluster.local", ".localhost")


def _name(netloc: str) -> str | None:
    """The host of `host:port`, lower-case; None for what is no host."""
    if any(character in netloc for character in "/@\\?# \t") or not netloc:
        return None
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def host_allowed(host: str, public_url: str | None) -> bool:
    name = _name(host)
    if name is None:
        return False
    if public_url is not None and name == urlsplit(public_url).hostname:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_INSIDE)
    return True


def origin_allowed(origin: str, host: str, public_url: str | None) -> bool:
    """Pages of the same host and port, or of the public address; no other page, and not `null`."""
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    public = urlsplit(public_url).netloc if public_url else None
    return parts.netloc.lower() in (host.lower(), public)


class OriginGuard:
    """ASGI: 421 for a host that is not ours, 403 for a page of another origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime: Runtime = scope["app"].state.runtime
        headers, public = Headers(scope=scope), runtime.settings.public_url
        host, origin = headers.get("host", ""), headers.get("origin")
        answer = self._app
        if not host_allowed(host, public):
            answer = PlainTextResponse("this host is not served: set RUNTIME_PUBLIC_URL", 421)
        elif origin is not None and not origin_allowed(origin, host, public):
            answer = PlainTextResponse("pages of this origin may not call", 403)
        await answer(scope, receive, send)
