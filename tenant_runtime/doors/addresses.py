"""Under which address clients reach this runtime: as set, else as the request at hand came."""

import re
from typing import Final

from starlette.requests import Request

from tenant_runtime.runtime import Runtime

#: A host with an optional port, an IPv6 address in brackets included; nothing that could end a URL's authority.
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def public_url(runtime: Runtime, request: Request) -> str:
    """Without a slash at its end. A `Host` that is none gives the server's own address."""
    if runtime.settings.public_url:
        return runtime.settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        name, port = request.scope.get("server") or ("127.0.0.1", 80)
        host = f"{name}:{port}"
    return f"{request.url.scheme}://{host}"
