"""The form of API keys and how they are kept: `fh_<prefix>_<secret>`, of which only a SHA-256 is stored."""

import hashlib
import re
import secrets

PREFIX = "fh_"
_TOKEN = re.compile(r"^fh_([0-9a-f]{8})_[A-Za-z0-9_-]{20,128}$")


def token_make() -> tuple[str, str]:
    """(prefix, token). The prefix finds the row; the secret part has 256 random bits."""
    prefix = secrets.token_hex(4)
    return prefix, f"{PREFIX}{prefix}_{secrets.token_urlsafe(32)}"


def token_prefix(token: str) -> str | None:
    """The prefix of a well-formed token; None for anything else."""
    match = _TOKEN.match(token)
    return match.group(1) if match else None


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
