"""Rate limits: so many requests a minute for each API key or signed-in person.

The count is one Redis key per principal and minute, raised in one round trip, which all processes share. Redis
being down must not take the API with it: requests then go uncounted, and Redis is asked again a little later.
"""

import math
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
import structlog
from django.conf import settings
from django.http import HttpResponseBase
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from controlplane.accounts.access import Principal
from controlplane.core import clock

if TYPE_CHECKING:
    from rest_framework.views import APIView

log = structlog.get_logger()

WINDOW_S = 60
#: Usage events come in at machine speed, so their path has this many times the limit, counted apart.
EVENTS_FACTOR = 5
EVENTS = "events"
REQUESTS = "requests"
_ANSWER_WITHIN_S = 0.25
_ASK_AGAIN_S = 5.0
_STANDING = "freehold.rate_limit"


@dataclass(frozen=True)
class Standing:
    """Where a principal stands in the current minute, this request counted."""

    limit: int
    used: int
    reset_s: int

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "RateLimit-Reset": str(self.reset_s),
        }


class Counter:
    """Counts in Redis; None while Redis does not answer."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def raise_by_one(self, key: str) -> int | None:
        if time.monotonic() < self._silent_until:
            return None
        try:
            pipeline = _client(settings.REDIS_URL).pipeline(transaction=False)
            # The key outlives its minute, so that clocks a little apart still meet on it.
            pipeline.incr(key)
            pipeline.expire(key, 2 * WINDOW_S)
            count = pipeline.execute()[0]
        except (redis.RedisError, OSError) as error:
            self._silent_until = time.monotonic() + _ASK_AGAIN_S
            log.warning("limits.redis_unavailable", error=type(error).__name__, again_in_s=_ASK_AGAIN_S)
            return None
        return int(count)


@cache
def _client(url: str) -> redis.Redis:
    # Short and without retries: a request waits for this.
    return redis.Redis.from_url(
        url,
        socket_timeout=_ANSWER_WITHIN_S,
        socket_connect_timeout=_ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 0),
    )


counter = Counter()


def limit_take(principal: Principal, *, kind: str = REQUESTS) -> Standing | None:
    """Counts one request; None when limits are off or cannot be counted. Never raises."""
    limit = settings.FREEHOLD_RATE_LIMIT_PER_MINUTE * (EVENTS_FACTOR if kind == EVENTS else 1)
    if not limit:
        return None
    now = clock.now().timestamp()
    minute = int(now // WINDOW_S)
    used = counter.raise_by_one(f"freehold:rate:{kind}:{principal.team_id}:{principal.actor}:{minute}")
    if used is None:
        return None
    return Standing(limit=limit, used=used, reset_s=max(1, math.ceil((minute + 1) * WINDOW_S - now)))


def limit_headers_set(request: Any, response: HttpResponseBase) -> None:
    """Puts the RateLimit headers on the answer to a request that was counted."""
    standing: Standing | None = request.META.get(_STANDING)
    for name, value in standing.headers().items() if standing else ():
        response.headers[name] = value


def request_count(request: Any, principal: Principal, *, kind: str = REQUESTS) -> Standing | None:
    """Counts the request, and leaves the standing on it for the headers of whatever answer follows."""
    standing = limit_take(principal, kind=kind)
    request.META[_STANDING] = standing
    return standing


class PrincipalThrottle(BaseThrottle):
    """DRF asks this before each request."""

    standing: Standing | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        user: Any = request.user
        if not isinstance(user, Principal):
            return True
        self.standing = request_count(request, user, kind=getattr(view, "limit_kind", REQUESTS))
        return self.standing is None or not self.standing.exceeded

    def wait(self) -> float | None:
        return None if self.standing is None else float(self.standing.reset_s)
