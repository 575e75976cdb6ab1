"""Passwords of the parts a stack makes itself: derived, so that a program needs no random source and no state.

The seed is the tenant's own and never leaves the control plane but to the runner (StackSecrets.password_seed).
"""

import base64
import hashlib
import hmac
from typing import Final

from contracts.stack import StackSecrets, StackSpec
from stacks.errors import InputInvalid

#: Every part that has one: whoever keeps passwords out of texts must know them all.
PARTS: Final = (
    "postgres", "postgres-superuser", "cache", "vector-store", "vector-store-superuser", "model-server",
)  # fmt: skip


class Passwords:
    """The passwords of one generation (StackSpec.credentials). InputInvalid without a seed."""

    def __init__(self, spec: StackSpec, secrets: StackSecrets) -> None:
        if secrets.password_seed is None:
            raise InputInvalid(
                f"the stack of {spec.slug} makes passwords of its own: its operation brought no seed"
            )
        self._seed = secrets.password_seed.encode()
        self._generation = spec.credentials

    def of(self, part: str) -> str:
        """43 characters of A-Z, a-z, 0-9, - and _: 256 bits, and good in any URL, YAML and shell."""
        if part not in PARTS:
            raise ValueError(f"{part} is none of PARTS, so nobody would keep its password out of texts")
        label = f"freehold:{part}:{self._generation}"
        digest = hmac.new(self._seed, label.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def passwords_known(spec: StackSpec, secrets: StackSecrets) -> list[str]:
    """Every password that the stack may have now or had before its last rotation; none without a seed."""
    if secrets.password_seed is None:
        return []
    generations = {spec.credentials, max(1, spec.credentials - 1)}
    specs = [spec.model_copy(update={"credentials": each}) for each in sorted(generations)]
    return [Passwords(each, secrets).of(part) for each in specs for part in PARTS]
