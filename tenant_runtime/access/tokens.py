"""Short-lived signed tokens (JWT, RFC 7519): made by the control plane, checked here with its public keys alone.

What a token says of how to check it counts for nothing: its `kid` picks one of our keys, which brings its algorithm,
and a header with anything else in it is refused (RFC 8725).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from tenant_runtime.access.principals import ROLES, Principal, user_id_valid
from tenant_runtime.access.public_keys import PublicKey

MAX_LIFE: Final = timedelta(minutes=15)
#: How far the clocks of the two machines may be apart.
LEEWAY: Final = timedelta(seconds=10)
MAX_LENGTH: Final = 4096
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_CLAIMS: Final = ("iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti")


class TokenRefused(Exception):
    """`reason` is one of a few words, for the log; nothing of the token is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def token_like(text: str) -> bool:
    """Whether it is meant as a token; our keys have no dots."""
    return text.count(".") == 2


def token_principal(
    text: str, *, keys: Mapping[str, PublicKey], issuer: str, audience: str, now: datetime
) -> Principal:
    """Whom the token stands for. Raises TokenRefused, whatever is wrong with it."""
    if len(text) > MAX_LENGTH:
        raise TokenRefused("length")
    key = _key(text, keys)
    if key.until is not None and now.timestamp() >= key.until:
        raise TokenRefused("retired")
    try:
        claims = jwt.decode(
            text,
            key.key,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            # Times are checked below, against the caller's clock.
            options={
                "require": list(_CLAIMS), "strict_aud": True, "verify_exp": False, "verify_nbf": False,
                "verify_iat": False,
            },
        )  # fmt: skip
    except jwt.PyJWTError as error:
        raise TokenRefused(type(error).__name__) from error
    _times_check(claims, now)
    subject, role = claims["sub"], claims["role"]
    if not isinstance(subject, str) or not user_id_valid(subject):
        raise TokenRefused("sub")
    if not isinstance(claims["jti"], str) or not claims["jti"]:
        raise TokenRefused("jti")
    known = next((each for each in ROLES if each == role), None)
    if known is None:
        raise TokenRefused("role")
    return Principal(subject, known)


def _key(text: str, keys: Mapping[str, PublicKey]) -> PublicKey:
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError as error:
        raise TokenRefused("header") from error
    if not header.keys() <= _HEADER or header.get("typ") != "JWT":
        raise TokenRefused("header")
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenRefused("kid")
    if header.get("alg") != key.algorithm:
        raise TokenRefused("alg")
    return key


def _times_check(claims: Mapping[str, Any], now: datetime) -> None:
    """Whole seconds of the epoch; at most MAX_LIFE from the making to the end."""
    times = [claims[name] for name in ("iat", "nbf", "exp")]
    if any(isinstance(each, bool) or not isinstance(each, int) for each in times):
        raise TokenRefused("times")
    issued, begins, ends = times
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    if ends - min(issued, begins) > MAX_LIFE.total_seconds():
        raise TokenRefused("life")
    if moment >= ends + leeway:
        raise TokenRefused("expired")
    if max(issued, begins) > moment + leeway:
        raise TokenRefused("future")
