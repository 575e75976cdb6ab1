"""The operator's encryption keys, from FREEHOLD_ENCRYPTION_KEYS: the first seals, every one opens.

Each use derives a key of its own by HKDF, so that one secret never serves two purposes. `id` names a key in rows
and reports; it is derived as well, and tells nothing of the key.
"""

import base64
from dataclasses import dataclass, field

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


@dataclass(frozen=True)
class OperatorKey:
    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        return self._derive("freehold/operator-key-id/v1", 8).hex()

    def wrapping(self) -> bytes:
        """The AES key that seals data keys."""
        return self._derive("freehold/data-key-wrapping/v1", 32)

    def fernet(self) -> Fernet:
        """For values sealed before data keys existed."""
        return Fernet(base64.urlsafe_b64encode(self._derive("freehold/field-encryption/v1", 32)))

    def _derive(self, purpose: str, length: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(
            self.secret.encode()
        )


def operator_keys() -> list[OperatorKey]:
    """Newest first."""
    return [OperatorKey(secret) for secret in settings.FREEHOLD_ENCRYPTION_KEYS]
