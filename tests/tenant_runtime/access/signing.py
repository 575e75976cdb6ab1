"""A control plane that only signs tokens, as the runtime of the tests knows it."""

import json
import time
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "https://control-plane.example"
KEY = Ed25519PrivateKey.generate()
JWKS = json.dumps(
    {"keys": [{**jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "tests"}]}
)


def token_sign(subject: str, role: str = "user", *, lives_s: int = 300, **changed: Any) -> str:
    """A token made now for the tenant of the tests (acme)."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": "acme", "sub": subject, "role": role, "iat": now, "nbf": now, "exp": now + lives_s,
        "jti": uuid.uuid4().hex, **changed,
    }  # fmt: skip
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"kid": "tests"})
