"""Tokens: one good one, and every way to forge, stretch or misdirect one."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.public_keys import jwks_read
from tenant_runtime.access.tokens import LEEWAY, MAX_LIFE, TokenRefused, token_principal

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = ed25519.Ed25519PrivateKey.generate()
ISSUER = "https://freehold.example"


def ed_jwk(key: ed25519.Ed25519PrivateKey, kid: str) -> dict[str, Any]:
    return {**jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


KEYS = jwks_read(json.dumps({"keys": [ed_jwk(ED, "a"), ec_jwk(EC, "b")]}))


def claims(**changed: Any) -> dict[str, Any]:
    base = {
        "iss": ISSUER,
        "aud": "acme",
        "sub": "user:7",
        "role": "user",
        "iat": int(NOW.timestamp()),
        "nbf": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(minutes=10)).timestamp()),
        "jti": "1",
    }
    return {name: value for name, value in {**base, **changed}.items() if value is not None}


def signed(
    body: dict[str, Any], *, key: Any = ED, alg: str = "EdDSA", header: dict[str, Any] | None = None
) -> str:
    return jwt.encode(body, key, algorithm=alg, headers={"kid": "a", **(header or {})})


def principal(token: str, now: datetime = NOW) -> Principal:
    return token_principal(token, keys=KEYS, issuer=ISSUER, audience="acme", now=now)


def refused(token: str, now: datetime = NOW) -> str:
    with pytest.raises(TokenRefused) as caught:
        principal(token, now)
    return caught.value.reason


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    parts = [b64(json.dumps(header).encode()), b64(json.dumps(body).encode()), b64(signature)]
    return ".".join(parts)


def test_a_good_token_is_its_user() -> None:
    assert principal(signed(claims())) == Principal("user:7", "user")
    es = signed(claims(role="developer"), key=EC, alg="ES256", header={"kid": "b"})
    assert principal(es) == Principal("user:7", "developer")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (by_hand({"alg": "none", "typ": "JWT", "kid": "a"}, claims()), "alg"),
        (by_hand({"alg": "None", "typ": "JWT", "kid": "a"}, claims()), "alg"),
        (by_hand({"alg": "none", "typ": "JWT"}, claims()), "kid"),
        (by_hand({"typ": "JWT", "kid": "a"}, claims()), "alg"),
        (signed(claims(), key=EC, alg="ES256"), "alg"),
        (signed(claims(), header={"kid": "b"}), "alg"),
        (signed(claims(), key=STRANGER), "InvalidSignatureError"),
        (signed(claims())[:-8] + "AAAAAAAA", "InvalidSignatureError"),
        (signed(claims(), header={"kid": "c"}), "kid"),
        (signed(claims(), header={"kid": "../../../../dev/null"}), "kid"),
        (signed(claims(), header={"kid": "a' OR 1=1 --"}), "kid"),
        (signed(claims(), header={"jku": "https://evil.example/jwks.json"}), "header"),
        (signed(claims(), header={"x5u": "https://evil.example/x.pem"}), "header"),
        (signed(claims(), header={"jwk": ed_jwk(STRANGER, "a")}, key=STRANGER), "header"),
        (signed(claims(), header={"x5c": ["AAAA"]}), "header"),
        (signed(claims(), header={"crit": ["exp"]}), "header"),
        (signed(claims(), header={"typ": "at+jwt"}), "header"),
        ("..", "header"),
        ("a.b.c", "header"),
        ("x" * 5000 + "..", "length"),
    ],
)
def test_forged_headers_and_signatures(token: str, reason: str) -> None:
    assert refused(token) == reason


def test_a_public_key_is_no_shared_secret() -> None:
    """The old confusion: HS256 with the public key, which everybody has, as its secret."""
    pem = ED.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    for secret in (pem, pem.strip(), raw):
        bare = by_hand({"alg": "HS256", "typ": "JWT", "kid": "a"}, claims()).rpartition(".")[0]
        signature = hmac.new(secret, bare.encode(), hashlib.sha256).digest()
        assert refused(f"{bare}.{b64(signature)}") == "alg"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "globex"}, "InvalidAudienceError"),
        ({"aud": ["acme", "globex"]}, "InvalidAudienceError"),
        ({"aud": ["acme"]}, "InvalidAudienceError"),
        ({"iss": "https://evil.example"}, "InvalidIssuerError"),
        *(({name: None}, "MissingRequiredClaimError") for name in claims()),
        ({"role": "root"}, "role"),
        ({"role": ["admin"]}, "role"),
        ({"sub": "admin"}, "sub"),
        ({"sub": "key:1"}, "sub"),
        ({"sub": "a b"}, "sub"),
        ({"jti": ""}, "jti"),
        ({"exp": str(int(NOW.timestamp()) + 60)}, "times"),
        ({"exp": NOW.timestamp() + 60.5}, "times"),
        ({"iat": True}, "times"),
        ({"exp": int(NOW.timestamp() + MAX_LIFE.total_seconds()) + 1}, "life"),
        ({"nbf": int(NOW.timestamp()) - 3600}, "life"),
        ({"iat": int(NOW.timestamp()) + 60}, "future"),
        ({"nbf": int(NOW.timestamp()) + 60}, "future"),
    ],
)
def test_claims_that_do_not_fit(changed: dict[str, Any], reason: str) -> None:
    assert refused(signed(claims(**changed))) == reason


def test_a_token_lives_from_its_making_to_its_end() -> None:
    token = signed(claims())
    end = NOW + timedelta(minutes=10)
    assert principal(token, end + LEEWAY - timedelta(seconds=1)).id == "user:7"
    assert refused(token, end + LEEWAY) == "expired"
    assert refused(token, NOW - LEEWAY - timedelta(seconds=1)) == "future"


def test_a_key_that_has_retired_signs_no_more() -> None:
    keys = jwks_read(json.dumps({"keys": [{**ed_jwk(ED, "a"), "exp": int(NOW.timestamp()) + 60}]}))

    def at(now: datetime) -> Principal:
        return token_principal(signed(claims()), keys=keys, issuer=ISSUER, audience="acme", now=now)

    assert at(NOW).id == "user:7"
    with pytest.raises(TokenRefused, match="retired"):
        at(NOW + timedelta(seconds=60))


RSA = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        {"keys": ["a"]},
        {"keys": [{**ed_jwk(ED, "a"), "kid": ""}]},
        {"keys": [ed_jwk(ED, "a"), ec_jwk(EC, "a")]},
        {"keys": [{**jwt.algorithms.OKPAlgorithm.to_jwk(ED, as_dict=True), "kid": "a"}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]},
        {"keys": [{**RSA, "kid": "a"}]},
        {"keys": [{**ed_jwk(ED, "a"), "alg": "HS256"}]},
        {"keys": [{**ed_jwk(ED, "a"), "x": "AAAA"}]},
        {"keys": [{**ed_jwk(ED, "a"), "exp": "soon"}]},
    ],
)
def test_keys_that_are_not_taken(document: Any) -> None:
    with pytest.raises(ValueError, match="wanted"):
        jwks_read(document if isinstance(document, str) else json.dumps(document))
