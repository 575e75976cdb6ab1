"""Tokens of links that let somebody in without a login: `ID.SECRET.SIGNATURE`. Pure.

The signature (HMAC with the installation's secret key, for one purpose alone) keeps made-up tokens away from the
database; the stored hash lets a link end at once and is useless to whoever reads it.
"""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from django.core.signing import BadSignature, Signer


@dataclass(frozen=True)
class LinkTokens:
    """`purpose` names what the tokens are for: those of one purpose are worth nothing for another."""

    purpose: str

    def make(self, link_id: UUID, secret: str) -> str:
        """`secret` is random, 256 bits as text without a dot."""
        return self._signer().sign(f"{link_id.hex}.{secret}")

    def id_of(self, token: str) -> UUID | None:
        """None for a token that was not made here."""
        try:
            return UUID(hex=self._signer().unsign(token).partition(".")[0])
        except (BadSignature, ValueError):
            return None

    def _signer(self) -> Signer:
        return Signer(salt=self.purpose, sep=".")


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def token_fits(token: str, stored_hash: str) -> bool:
    """In a time that tells nothing of the stored hash."""
    return hmac.compare_digest(stored_hash, token_hash(token))
