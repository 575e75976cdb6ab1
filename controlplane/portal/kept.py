"""Figures of a whole fleet that are shown again for a while: adding them up may take longer than all else of a page.

The page says of which moment they are. Without Redis they are added up each time.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import structlog
from django.core.cache import cache

from controlplane.accounts.access import Principal

log = structlog.get_logger()
T = TypeVar("T")


def kept(
    *,
    name: str,
    about: str,
    principal: Principal,
    seconds: int,
    now: datetime,
    work: Callable[[], T],
    slow_s: float = 0.0,
) -> tuple[T, datetime]:
    """What `work` gives and the moment it is of: kept for `seconds`, for those who see the same tenants, where adding
    it up took `slow_s`. `name` changes with what is stored, `about` says which figures of that name."""
    limits = "all" if principal.tenant_ids is None else ",".join(sorted(map(str, principal.tenant_ids)))
    told = hashlib.sha256(f"{principal.team_id}:{limits}:{about}".encode()).hexdigest()
    key = f"{name}:{told}"
    try:
        if held := cache.get(key):
            found: tuple[T, datetime] = held
            return found
    except Exception as error:
        _warn("figures.cache_unread", error)
    began = time.monotonic()
    made = work()
    if time.monotonic() - began >= slow_s:
        try:
            cache.set(key, (made, now), timeout=seconds)
        except Exception as error:
            _warn("figures.cache_unwritten", error)
    return made, now


def _warn(event: str, error: Any) -> None:
    log.warning(event, error=type(error).__name__)
