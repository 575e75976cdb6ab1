"""Short-lived tokens for a tenant's runtime: signed here, checked there with the public key alone."""

import re
import uuid
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from django.db import transaction

from contracts.runtime import RUNTIME_USER, TOKEN_ISSUER
from controlplane.accounts.access import Principal, access_allows, access_require
from controlplane.accounts.roles import ADMIN, TENANTS_READ, TENANTS_WRITE
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, PermissionDenied, ValidationFailed
from controlplane.tenants import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import EARLIER, credentials_read
from controlplane.tenants.token_keys import key_id, key_in_use, private_key

LIFE: Final = timedelta(minutes=15)
#: Of a token that never leaves the control plane: one call, and clocks that differ a little.
OWN_LIFE: Final = timedelta(minutes=2)
_OWN_NAME: Final = "control-plane"
#: Scope of who asks -> the runtime's roles it may have a token for; the first one unless another is asked for.
_ROLES: Final = (
    (ADMIN, ("admin", "operator", "developer", "user", "auditor")),
    (TENANTS_WRITE, ("operator", "developer", "user")),
    (TENANTS_READ, ("auditor",)),
)
RUNTIME_ROLES: Final = _ROLES[0][1]
#: Roles in which a person who may write tenants can let somebody else in.
_FOR_OTHERS: Final = ("developer", "user")


def runtime_roles_granted(principal: Principal) -> tuple[str, ...]:
    """The runtime's roles that somebody may hand out, the one nearest to their own first."""
    return next((roles for scope, roles in _ROLES if access_allows(principal, scope)), ())


def runtime_token_issue(
    *, principal: Principal, tenant: Tenant, role: str | None, user: str | None, now: datetime
) -> dict[str, Any]:
    """{runtime_url, token, role, user, expires_at} for who asks, or for `user`, whom a vendor's own login has vouched
    for. Raises PermissionDenied beyond the asker's own role, Conflict while the runtime could not check it."""
    access_require(principal, TENANTS_READ)
    granted = runtime_roles_granted(principal)
    wanted = role or ("user" if user is not None else granted[0])
    if wanted not in granted:
        raise PermissionDenied(
            f"A token with the role {wanted} is beyond yours.", hint=f"You may ask for {', '.join(granted)}."
        )
    if user is not None:
        _other_check(user, wanted)
    if tenant.lifecycle != states.ACTIVE:
        raise Conflict(f"{tenant.slug} is {tenant.lifecycle}, not active.", code="tenant_not_active")
    subject = user if user is not None else _subject(principal)
    ends, jti = now + LIFE, uuid.uuid4().hex
    token = _signed(tenant, subject, wanted, jti, now=now, ends=ends)
    with transaction.atomic():
        audit_record(
            at=now,
            actor=principal.actor,
            action="tenant.token_issued",
            subject_type="tenant",
            subject_id=str(tenant.id),
            team_id=tenant.team_id,
            data={"jti": jti, "user": subject, "role": wanted},
        )
    return {
        "runtime_url": tenant.runtime_url,
        "token": token,
        "role": wanted,
        "user": subject,
        "expires_at": ends.replace(microsecond=0).isoformat(),
    }


def runtime_token_inward(*, principal: Principal, tenant: Tenant, role: str, now: datetime) -> str:
    """A token of OWN_LIFE for a call that the control plane makes itself on behalf of who asks. It is given to nobody
    and so not recorded: what is done with it is. Raises PermissionDenied beyond the asker's own role, Conflict while
    the runtime could not check it."""
    if not any(role in roles for scope, roles in _ROLES if access_allows(principal, scope)):
        raise PermissionDenied(
            f"Your role may not act as {role} in a runtime.", hint="Ask an operator of your team."
        )
    return _signed(tenant, _subject(principal), role, uuid.uuid4().hex, now=now, ends=now + OWN_LIFE)


def runtime_token_own(*, tenant: Tenant, now: datetime) -> str:
    """As runtime_token_inward, in the control plane's own name and as auditor, who reads no content: for people who are
    nobody in the runtime. Raises Conflict while the runtime could not check it."""
    return _signed(tenant, _OWN_NAME, "auditor", uuid.uuid4().hex, now=now, ends=now + OWN_LIFE)


def _signed(tenant: Tenant, subject: str, role: str, jti: str, *, now: datetime, ends: datetime) -> str:
    claims = {
        "iss": TOKEN_ISSUER, "aud": tenant.slug, "sub": subject, "role": role, "jti": jti,
        "iat": int(now.timestamp()), "nbf": int(now.timestamp()), "exp": int(ends.timestamp()),
    }  # fmt: skip
    key = private_key(_key_in_use(tenant))
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": key_id(key)})


def _subject(principal: Principal) -> str:
    if principal.user_id is not None:
        return f"person:{principal.user_id}"
    return f"api-key:{principal.api_key_id}"


def _other_check(user: str, role: str) -> None:
    if re.fullmatch(RUNTIME_USER, user) is None or user.startswith(("person:", "api-key:")):
        detail = "wanted up to 200 letters, digits and any of . _ : @ + -, and nobody of the control plane"
        raise ValidationFailed(f"user: {detail}.", errors=[{"pointer": "/user", "detail": detail}])
    if role not in _FOR_OTHERS:
        raise PermissionDenied(
            f"A token with the role {role} is for oneself only.",
            hint=f"For somebody else ask for {' or '.join(_FOR_OTHERS)}.",
        )


def _key_in_use(tenant: Tenant) -> str:
    sealed = credentials_read(tenant)
    found = key_in_use(sealed, renewing=EARLIER in sealed)
    if found is None:
        raise Conflict(
            f"The runtime of {tenant.slug} has no key to check tokens with yet.",
            code="token_key_missing",
            hint=f"Renew its credentials: freehold tenants rotate-credentials {tenant.slug}.",
        )
    return found
