"""AES-256-GCM with a random nonce in front of the ciphertext."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def aead_seal(key: bytes, plain: bytes, *, bound_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def aead_open(key: bytes, raw: bytes, *, bound_to: bytes) -> bytes:
    """InvalidTag for another key, another binding, or changed bytes."""
    if len(raw) <= _NONCE:
        raise InvalidTag
    return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], bound_to)
