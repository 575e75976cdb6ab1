"""Physical names, chosen before creation from the tenant's slug alone: adoption after a crash and the leak scan depend
on them."""

import hashlib
import re

PREFIX = "fh"


def name_of(slug: str, *parts: str, limit: int = 63) -> str:
    """`fh-<slug>-<part>...`, at most `limit` characters, without the double hyphens that RDS and ElastiCache refuse.

    A slug that had to be shortened or changed is told from others by eight digits of its hash.
    """
    tail = "".join(f"-{part}" for part in parts)
    body = re.sub(r"-{2,}", "-", slug)
    whole = f"{PREFIX}-{body}{tail}"
    if body == slug and len(whole) <= limit:
        return whole
    digest = hashlib.sha256(slug.encode()).hexdigest()[:8]
    room = limit - len(f"{PREFIX}--{digest}{tail}")
    return f"{PREFIX}-{body[:room].rstrip('-')}-{digest}{tail}"
