"""Passwords of the parts a stack makes itself: derived, so that a program needs no random source and no state.

The seed is the tenant's own and never leaves the control plane but to the runner (StackSecrets.password_seed).
"""

import base64
import hashlib
import hmac

from contracts.stack import StackSecrets, StackSpec
from stacks.errors import InputInvalid


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
        label = f"freehold:{part}:{self._generation}"
        digest = hmac.new(self._seed, label.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
