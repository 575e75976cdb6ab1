"""The public keys that tokens are checked with: a JWKS text (RFC 7517) read into keys by id.

Each key brings its one algorithm, so that no token chooses how it is checked. Only EdDSA (Ed25519, RFC 8037) and
ES256 (P-256) are taken: a shared secret or a private key here would let its readers sign.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import jwt

#: (kty, crv) of a key -> the algorithm it is for.
_ALGORITHMS: Final = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}


@dataclass(frozen=True)
class PublicKey:
    """`until` is when it stops to count, in seconds of the epoch; None: never."""

    algorithm: str
    key: Any
    until: int | None = None


def jwks_read(text: str) -> dict[str, PublicKey]:
    """The keys by `kid`. Raises ValueError with what was found and what is wanted; the text is not repeated."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError('found no JSON; wanted {"keys": [...]}') from error
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not listed:
        raise ValueError('found no keys; wanted {"keys": [...]} with at least one')
    keys: dict[str, PublicKey] = {}
    for place, each in enumerate(listed):
        kid, found = _key(each, place)
        if kid in keys:
            raise ValueError(f"found the kid of key {place} twice; wanted one key for each")
        keys[kid] = found
    return keys


def _key(document: Any, place: int) -> tuple[str, PublicKey]:
    if not isinstance(document, dict):
        raise ValueError(f"key {place}: found no object; wanted a JWK")
    kid = document.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 100:
        raise ValueError(f"key {place}: found no `kid`; wanted one of up to 100 characters")
    if "d" in document or "k" in document:
        raise ValueError(f"key {place}: found a secret one; wanted the public part alone")
    algorithm = _ALGORITHMS.get((str(document.get("kty")), str(document.get("crv"))))
    if algorithm is None or document.get("alg", algorithm) != algorithm:
        raise ValueError(f"key {place}: wanted OKP Ed25519 for EdDSA, or EC P-256 for ES256")
    until = document.get("exp")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int)):
        raise ValueError(f"key {place}: found an odd `exp`; wanted whole seconds of the epoch")
    try:
        return kid, PublicKey(algorithm, jwt.PyJWK(document, algorithm=algorithm).key, until)
    except (jwt.PyJWTError, ValueError) as error:
        raise ValueError(f"key {place}: found a malformed one; wanted a JWK of {algorithm}") from error
