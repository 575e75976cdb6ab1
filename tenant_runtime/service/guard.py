"""The gate in front of every route: deny by default, limit bodies, give each request an id."""

import re
import uuid
from typing import Final

from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenant_runtime.access.principals import ROLES
from tenant_runtime.access.rules import rule_of
from tenant_runtime.errors import Forbidden, NotFound, TooLarge, Unavailable
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.problems import fault_problem, unauthenticated

BODY_LIMIT: Final = 16 * 1024 * 1024
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,100}$")


def token_of(headers: Headers) -> str | None:
    """The presented key; `x-api-key` first, as SDK clients send it."""
    if key := headers.get("x-api-key"):
        return key.strip()
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


class Guard:
    """Plain ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app, self._runtime = app, runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            refusal = await self._refusal(scope, headers)
        except (OperationalError, PoolTimeout):
            # A key that cannot be looked up is neither good nor bad.
            refusal = fault_problem(
                Unavailable("the database does not answer", code="database_unavailable"), scope["path"]
            )
        if refusal is not None:
            await refusal(scope, receive, send_with_id)
            return
        await self._app(scope, receive, send_with_id)

    async def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """The answer for who may not enter; None lets the request through with its principal."""
        path: str = scope["path"]
        rule = rule_of(scope["method"], path)
        if rule is not None and rule.roles is None:
            return None
        if path.startswith("/admin") and not self._runtime.keys.admin_enabled:
            return fault_problem(
                NotFound("the admin interface is off: set RUNTIME_ADMIN_KEY", code="admin_disabled")
            )
        token = token_of(headers)
        principal = await self._runtime.keys.principal(token) if token else None
        if principal is None:
            return unauthenticated(path)
        if rule is None:
            return fault_problem(NotFound("there is nothing here"), path)
        if rule.roles is not None and principal.role not in rule.roles:
            wanted = ", ".join(role for role in ROLES if role in rule.roles)
            return fault_problem(
                Forbidden(f"the role {principal.role} may not do this; it takes one of: {wanted}"), path
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > BODY_LIMIT:
            return fault_problem(TooLarge(f"bodies end at {BODY_LIMIT} bytes"), path)
        scope.setdefault("state", {})["principal"] = principal
        return None
