"""The keys a tenant's tokens are signed with: one a tenant, Ed25519, renewed with its other credentials.

The private half is sealed with the tenant's secrets and never leaves the control plane; the stack gets the public
halves as a JWKS. A key that is renewed stays in it with an end (`exp`): so the stack need not change once more when
the operation is over, and the old key dies by the clock.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: How long a renewed key may still be needed: an operation that waits for an approval takes its time.
RETIRES_AFTER: Final = timedelta(days=1)
#: Under which names the sealed secrets hold the key, and those before it, newest first: {"public"}, and {"private"} too
#: until an operation has brought the newest.
CURRENT: Final = "token_key"
BEFORE: Final = "earlier_token_keys"


def token_key_make() -> str:
    """The private key as text."""
    return base64.urlsafe_b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def private_key(text: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(text))


def key_id(key: Ed25519PrivateKey) -> str:
    return hashlib.sha256(_public(key)).hexdigest()[:16]


def token_jwks(sealed: Mapping[str, Any]) -> str | None:
    """The public keys of all that may have signed; None for a tenant of a release without them."""
    if CURRENT not in sealed:
        return None
    keys = [_jwk(private_key(sealed[CURRENT])), *(each["public"] for each in sealed.get(BEFORE, []))]
    return json.dumps({"keys": keys}, sort_keys=True)


def keys_before(old: Mapping[str, Any], *, now: datetime) -> list[dict[str, Any]]:
    """What becomes of the keys of `old` when another one takes their place."""
    if CURRENT not in old:
        return []
    public = {**_jwk(private_key(old[CURRENT])), "exp": int((now + RETIRES_AFTER).timestamp())}
    pending = [each for each in old.get(BEFORE, []) if "private" in each]
    return [{"private": old[CURRENT], "public": public}, *pending]


def keys_settled(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nothing signs with them any more."""
    return [{"public": each["public"]} for each in before]


def key_in_use(sealed: Mapping[str, Any], *, renewing: bool) -> str | None:
    """The private key whose public half the runtime has for certain: while renewing, the earliest."""
    if not renewing:
        found: str | None = sealed.get(CURRENT)
        return found
    pending = [each["private"] for each in sealed.get(BEFORE, []) if "private" in each]
    return pending[-1] if pending else None


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _jwk(key: Ed25519PrivateKey) -> dict[str, Any]:
    x = base64.urlsafe_b64encode(_public(key)).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key_id(key), "x": x}
