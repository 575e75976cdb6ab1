"""Encryption of stored fields: AES-128-CBC + HMAC by Fernet, with key rotation.

The first key encrypts; every key decrypts. Keys derive from FREEHOLD_ENCRYPTION_KEYS by HKDF with a fixed
context, so that the same operator secret never serves two purposes. The `context` (what the value belongs to)
is sealed in with the value: a ciphertext moved to another row does not open.
"""

import base64
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from controlplane.core.errors import OperatorError


def _fernet(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"freehold/field-encryption/v1").derive(
        secret.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))


def _keys() -> MultiFernet:
    return MultiFernet([_fernet(secret) for secret in settings.FREEHOLD_ENCRYPTION_KEYS])


def encrypt(value: Any, *, context: str) -> str:
    """Encrypts a JSON-able value, bound to `context`."""
    return _keys().encrypt(json.dumps({"c": context, "v": value}).encode()).decode()


def decrypt(token: str, *, context: str) -> Any:
    """The value that `encrypt` got. Raises OperatorError when no key opens it or the context differs."""
    try:
        document = json.loads(_keys().decrypt(token.encode()))
    except InvalidToken as error:
        raise OperatorError(
            f"A stored secret ({context}) cannot be decrypted.",
            code="encryption_key_missing",
            hint="Put its key back into FREEHOLD_ENCRYPTION_KEYS (several may be listed, newest first).",
        ) from error
    if document["c"] != context:
        raise OperatorError(
            f"A stored secret was found where it does not belong ({context}).",
            code="encryption_context_mismatch",
            hint="The row was copied or tampered with; rotate the credential.",
        )
    return document["v"]
