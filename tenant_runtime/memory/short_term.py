"""Short-term memory: the last turns and a scratchpad per thread, in Redis, with a time to live.

Redis is never the truth. Every answer may be None ("ask the thread's durable state"), writes may be lost,
and core commands are enough (no modules, no scripts), so ElastiCache and Valkey serve as well.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

TTL_S: Final = 24 * 3600
TURNS_KEPT: Final = 20
TIMEOUT_S: Final = 0.5
#: After a failure nothing is asked for this long: a dead Redis must not slow every run down.
PAUSE_S: Final = 2.0
T = TypeVar("T")


class ShortTermMemory:
    """All methods answer None when Redis is absent or fails; none of them raises."""

    def __init__(self, redis: "Redis | None", *, tenant: str) -> None:
        self._redis, self._tenant = redis, tenant
        self._paused_until = 0.0

    @property
    def configured(self) -> bool:
        return self._redis is not None

    async def _ask(self, action: "Callable[[Redis], Awaitable[T]]") -> T | None:
        if self._redis is None or time.monotonic() < self._paused_until:
            return None
        from redis.exceptions import RedisError

        try:
            return await action(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + PAUSE_S
            log.warning("redis does not answer", extra={"error": type(error).__name__, "pause_s": PAUSE_S})
            return None

    def _key(self, kind: str, thread_id: str) -> str:
        return f"freehold:{self._tenant}:{kind}:{thread_id}"

    async def turns_append(self, thread_id: str, turns: list[dict[str, str]]) -> None:
        key = self._key("turns", thread_id)

        async def action(redis: "Redis") -> None:
            pipe = redis.pipeline(transaction=True)
            pipe.rpush(key, *(json.dumps(turn) for turn in turns))
            pipe.ltrim(key, -TURNS_KEPT, -1)
            pipe.expire(key, TTL_S)
            await pipe.execute()

        if turns:
            await self._ask(action)

    async def turns_recent(self, thread_id: str, count: int = 6) -> list[dict[str, str]] | None:
        """The last turns, oldest first; None when Redis holds none or is not there."""
        key = self._key("turns", thread_id)

        async def action(redis: "Redis") -> list[Any]:
            found: list[Any] = await redis.lrange(key, -count, -1)
            return found

        rows = await self._ask(action)
        return [json.loads(row) for row in rows] if rows else None

    async def note_set(self, thread_id: str, name: str, value: Any) -> None:
        key = self._key("notes", thread_id)

        async def action(redis: "Redis") -> None:
            pipe = redis.pipeline(transaction=True)
            pipe.hset(key, name, json.dumps(value))
            pipe.expire(key, TTL_S)
            await pipe.execute()

        await self._ask(action)

    async def note_get(self, thread_id: str, name: str) -> Any:
        key = self._key("notes", thread_id)

        async def action(redis: "Redis") -> Any:
            return await redis.hget(key, name)

        value = await self._ask(action)
        return None if value is None else json.loads(value)

    async def forget(self, thread_id: str) -> None:
        keys = [self._key("turns", thread_id), self._key("notes", thread_id)]

        async def action(redis: "Redis") -> None:
            await redis.delete(*keys)

        await self._ask(action)

    async def ping(self) -> bool:
        """Asked by readiness: goes past the pause, so that a recovery shows at once."""
        self._paused_until = 0.0

        async def action(redis: "Redis") -> bool:
            return bool(await redis.ping())

        return bool(await self._ask(action))

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()


def short_term_open(url: str | None, *, tenant: str) -> ShortTermMemory:
    """Connects lazily: a Redis that is down at start does not hold the start up."""
    if url is None:
        return ShortTermMemory(None, tenant=tenant)
    from redis.asyncio import Redis

    client = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        health_check_interval=15,
        client_name=f"freehold-runtime-{tenant}",
    )
    return ShortTermMemory(client, tenant=tenant)
