"""Encryption of stored values: AES-256-GCM under data keys, which the operator's keys seal (data_keys.py).

A tenant's values are sealed under a key of its own; destroying that key makes every copy of them unreadable, in
backups too. Values of nobody in particular are sealed under the installation's key. The `context` (what the value
belongs to) is authenticated with the value: a ciphertext moved to another row does not open.

Forms of a sealed value: `fh2:<data key>:<base64 of nonce and ciphertext>`; without the prefix it is of an earlier
release (Fernet under an operator key), which is read and never written.
"""

import base64
import json
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.fernet import InvalidToken, MultiFernet

from controlplane.core import data_keys, operator_keys, sealed
from controlplane.core.aead import aead_open, aead_seal
from controlplane.core.errors import OperatorError


def encrypt(value: Any, *, context: str, owner: UUID | None = None) -> str:
    """Encrypts a JSON-able value, bound to `context`.

    With `owner` (a tenant) it is sealed under that owner's key: inside the transaction that stores it, and only for
    a field that sealed.SEALED_FIELDS lists, since rotation must find every value before it destroys an old key.
    """
    if owner is not None and context not in sealed.contexts_of(owner):
        raise RuntimeError(f"{context} is not a sealed field of {owner}; add it to SEALED_FIELDS")
    key = data_keys.data_key_current(owner=owner or data_keys.INSTALLATION)
    plain = json.dumps(value).encode()
    body = aead_seal(data_keys.data_key_unwrap(key), plain, bound_to=_bound(context, key.id))
    return f"{sealed.PREFIX}{key.id.hex}:{base64.urlsafe_b64encode(body).decode()}"


def decrypt(token: str, *, context: str) -> Any:
    """The value that `encrypt` got. Raises OperatorError: `data_key_destroyed`, `encryption_key_missing`, or
    `encryption_context_mismatch` where the value was moved or changed."""
    if not token.startswith(sealed.PREFIX):
        return _decrypt_fernet(token, context)
    reference, _, body = token[len(sealed.PREFIX) :].partition(":")
    key = data_keys.data_key_get(UUID(hex=reference), context=context)
    try:
        raw = base64.urlsafe_b64decode(body)
        return json.loads(aead_open(data_keys.data_key_unwrap(key), raw, bound_to=_bound(context, key.id)))
    except (InvalidTag, ValueError) as error:
        raise _moved(context) from error


def _bound(context: str, key_id: UUID) -> bytes:
    return f"{key_id.hex}:{context}".encode()


def _decrypt_fernet(token: str, context: str) -> Any:
    keys = MultiFernet([key.fernet() for key in operator_keys.operator_keys()])
    try:
        document = json.loads(keys.decrypt(token.encode()))
    except InvalidToken as error:
        raise OperatorError(
            f"A stored secret ({context}) cannot be decrypted.",
            code="encryption_key_missing",
            hint="Put its key back into FREEHOLD_ENCRYPTION_KEYS (several may be listed, newest first).",
        ) from error
    if document["c"] != context:
        raise _moved(context)
    return document["v"]


def _moved(context: str) -> OperatorError:
    return OperatorError(
        f"A stored secret was changed, or found where it does not belong ({context}).",
        code="encryption_context_mismatch",
        hint="The row was copied or tampered with; rotate the credential.",
    )
