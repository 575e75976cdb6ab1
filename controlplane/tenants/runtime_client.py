"""One person's calls to one tenant's runtime, made by the control plane: bounded in time and size, with typed errors.

FreeholdError
├── RuntimeNotThere   409  the tenant has none that could answer: suspended, not made yet, gone
├── RuntimeAway       503  it does not answer in time, or answers nonsense
├── RuntimeTooOld     409  its release does not know what was asked
├── RuntimeRefused    409  it says no, and why
└── NotFound          404  it has no such thing, or not for this person
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import httpx

from controlplane.accounts.access import Principal
from controlplane.core.errors import Conflict, NotFound, RetryLater
from controlplane.tenants import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_tokens import runtime_token_inward, runtime_token_own

#: Seconds for all calls that one page makes.
WITHIN_S: Final = 3.0
#: Larger answers are not read: nobody looks at them on a page.
LIMIT_BYTES: Final = 4 * 1024 * 1024


class RuntimeNotThere(Conflict):
    code = "runtime_not_there"
    title = "This tenant has no runtime that could answer"


class RuntimeAway(RetryLater):
    code = "runtime_away"
    title = "The runtime does not answer"


class RuntimeTooOld(Conflict):
    code = "runtime_too_old"
    title = "The runtime's release does not know this"


class RuntimeRefused(Conflict):
    code = "runtime_refused"
    title = "The runtime refused"


class RuntimeClient:
    """`within_s` bounds all calls together, so that a page is made in time whatever the runtime does."""

    def __init__(self, *, tenant: Tenant, token: str, within_s: float = WITHIN_S) -> None:
        self._slug, self._url = tenant.slug, tenant.runtime_url
        self.headers = {"Authorization": f"Bearer {token}"}
        self._ends = time.monotonic() + within_s

    def url(self, path: str) -> str:
        return f"{self._url}{path}"

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, params=params, body=body)

    def _ask(self, method: str, path: str, *, params: Mapping[str, Any] | None, body: Any = None) -> Any:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self._away("did not answer in time")
        try:
            # No proxy of the environment: the address is the tenant's, and so is the token.
            with (
                httpx.Client(timeout=left, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    method, self.url(path), params=dict(params or {}), json=body, headers=self.headers
                ) as answer,
            ):
                return self._read(answer)
        except httpx.TimeoutException as error:
            raise self._away("did not answer in time") from error
        except httpx.HTTPError as error:
            raise self._away(f"cannot be reached ({type(error).__name__})") from error

    def _read(self, answer: httpx.Response) -> Any:
        parts, size = [], 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > LIMIT_BYTES:
                raise RuntimeRefused("The answer is too large to be shown.", code="answer_too_large")
            if time.monotonic() > self._ends:
                raise self._away("did not answer in time")
        if not answer.is_success:
            raise self._problem(answer.status_code, _json(b"".join(parts)))
        if not parts:
            return None
        found = _json(b"".join(parts))
        if found is None:
            raise self._away("answered something that is no JSON")
        return found

    def _problem(self, status: int, body: Any) -> Exception:
        problem = body if isinstance(body, dict) else {}
        code, detail = str(problem.get("code") or "runtime_refused"), str(problem.get("detail") or "")
        # What we ask for is allowed to the role we ask in: a runtime that forbids it has never heard of it.
        if (status, code) in ((404, "not_found"), (404, "admin_disabled"), (403, "forbidden")):
            return RuntimeTooOld(
                f"The runtime of {self._slug} is of a release that does not know this.",
                hint=f"Bring it up to date: freehold tenants upgrade {self._slug}.",
            )
        if status == 404:
            return NotFound(f"The runtime has no such thing, or not for you: {detail}.")
        if status == 401:
            return RuntimeRefused(
                f"The runtime of {self._slug} did not accept our token.",
                code="runtime_unauthenticated",
                hint=f"Bring it the key: freehold tenants update {self._slug}.",
            )
        if not 400 <= status < 500:
            return self._away(f"answered with {status}")
        hint = str(problem.get("hint") or "")
        return RuntimeRefused(
            f"{detail[:500] or f'It answered with {status}'}.", code=code[:60], hint=hint[:300]
        )

    def _away(self, how: str) -> RuntimeAway:
        return RuntimeAway(
            f"The runtime of {self._slug} {how}.",
            hint=f"Its health says more: freehold tenants show {self._slug}.",
        )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def runtime_open(
    *, principal: Principal, tenant: Tenant, role: str, now: datetime, within_s: float = WITHIN_S
) -> RuntimeClient:
    """A client that asks in the name of `principal`, in a role that is theirs. Raises RuntimeNotThere, Conflict while
    the runtime could not check the token, PermissionDenied."""
    _demand_there(tenant)
    token = runtime_token_inward(principal=principal, tenant=tenant, role=role, now=now)
    return RuntimeClient(tenant=tenant, token=token, within_s=within_s)


def runtime_open_own(*, tenant: Tenant, now: datetime, within_s: float = WITHIN_S) -> RuntimeClient:
    """A client that asks in the control plane's own name, as auditor. Raises as runtime_open does."""
    _demand_there(tenant)
    token = runtime_token_own(tenant=tenant, now=now)
    return RuntimeClient(tenant=tenant, token=token, within_s=within_s)


def _demand_there(tenant: Tenant) -> None:
    if tenant.lifecycle != states.ACTIVE or not tenant.runtime_url:
        raise RuntimeNotThere(f"{tenant.slug} is {tenant.lifecycle}: no runtime of it answers now.")
