"""Pushes the outbox to the control plane: in order, in batches, with backoff, each event until it is answered."""

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import httpx
from psycopg.rows import DictRow
from pydantic import ValidationError

from contracts.usage import IngestAnswer, IngestResult
from tenant_runtime.database import LOCK_PUSH, Connection, Pool
from tenant_runtime.metering.outbox import Outbox

log = logging.getLogger(__name__)

BATCH: Final = 200
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0
IDLE_S: Final = 15.0
#: A longer wait than this is asked for by nobody who means it; the events would only grow old here.
RETRY_AFTER_MAX_S: Final = 300.0
_DELIVERED: Final = ("accepted", "duplicate")


class PushFailed(Exception):
    """The control plane did not take the batch; everything stays pending. The text holds no secret.

    `wait_s` is how long it asked us to wait, 0 if it did not.
    """

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Pusher:
    """One task a process. The advisory lock lets one process push at a time, which keeps the order."""

    def __init__(self, pool: Pool, outbox: Outbox, *, url: str | None, token: str | None) -> None:
        self._pool, self._outbox, self._url = pool, outbox, url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/cloudevents-batch+json",
        }
        # No redirects: the token goes to the configured address and nowhere else.
        self._http = httpx.AsyncClient(timeout=10, follow_redirects=False) if url else None
        self._wake = asyncio.Event()
        outbox.woken = self._wake.set
        self.last_error: str | None = None

    async def run(self) -> None:
        """Pushes whenever woken, and every IDLE_S in case another process wrote; ends when cancelled."""
        if self._http is None:
            return
        failures = 0
        while True:
            try:
                await self.push_all()
                failures, self.last_error = 0, None
                pause = IDLE_S
            except PushFailed as error:
                failures, self.last_error = failures + 1, str(error)
                pause = pause_after(failures, error.wait_s, random.random())  # noqa: S311 - jitter, not a secret
                log.warning("usage push failed", extra={"reason": str(error), "retry_in_s": round(pause, 2)})
            except Exception:
                failures, pause = failures + 1, BACKOFF_MAX_S
                log.exception("usage push surprised")
            if failures:
                # A wake-up must not shorten the backoff: an ailing control plane would be hit by every run.
                await asyncio.sleep(pause)
                continue
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def push_all(self) -> int:
        """Pushes until nothing is pending; returns how many were settled. Raises PushFailed."""
        if self._http is None:
            return 0
        settled = 0
        async with self._pool.connection() as conn:
            await conn.execute("SELECT pg_advisory_lock(%s)", [LOCK_PUSH])
            try:
                while done := await self._push_batch(conn, self._http):
                    settled += done
            finally:
                await conn.execute("SELECT pg_advisory_unlock(%s)", [LOCK_PUSH])
        return settled

    async def _push_batch(self, conn: Connection, http: httpx.AsyncClient) -> int:
        cursor = await conn.execute(
            "SELECT seq, id, body FROM usage_outbox WHERE state = 'pending' ORDER BY seq LIMIT %s", [BATCH]
        )
        rows = await cursor.fetchall()
        if not rows:
            return 0
        body = "[" + ",".join(row["body"] for row in rows) + "]"
        try:
            response = await http.post(str(self._url), content=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise PushFailed(type(error).__name__) from error
        if response.status_code != 200:
            raise PushFailed(f"HTTP {response.status_code}", wait_s=_retry_after(response))
        try:
            answer = IngestAnswer.model_validate_json(response.content)
        except (ValidationError, json.JSONDecodeError) as error:
            raise PushFailed("the answer is not an ingest answer") from error
        settled = 0
        async with conn.transaction():
            for row, result in _answered(rows, answer.results):
                state = "delivered" if result.outcome in _DELIVERED else "parked"
                reason = (
                    None
                    if state == "delivered"
                    else f"{result.outcome}: {result.reason or 'no reason given'}"
                )
                await conn.execute(
                    "UPDATE usage_outbox SET state = %s, reason = %s, settled_at = now() WHERE seq = %s",
                    [state, reason, row["seq"]],
                )
                settled += 1
                if state == "parked":
                    log.error("usage event parked", extra={"event_id": row["id"], "reason": reason})
        if settled == 0:
            raise PushFailed("the answer names none of the events sent")
        return settled

    async def flush(self, within_s: float = 10.0) -> dict[str, int]:
        """Pushes at once and tells what is left; a failure shows as what is left."""
        try:
            async with asyncio.timeout(within_s):
                await self.push_all()
        except (PushFailed, TimeoutError) as error:
            self.last_error = str(error) or "timed out"
        return await self._outbox.counts()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


def pause_after(failures: int, asked_s: float, luck: float) -> float:
    """Seconds until the next try: twice as long after each failure, never less than what was asked for, and spread
    by `luck` (0 to 1), so that a fleet that was sent away together does not come back together."""
    backoff: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures - 1, 10)) * (0.5 + luck / 2)
    return max(backoff, min(asked_s, RETRY_AFTER_MAX_S) * (1 + luck / 2))


def _retry_after(response: httpx.Response) -> float:
    """Its seconds; 0 where it is missing, a date, or nonsense."""
    raw = response.headers.get("Retry-After", "")
    return float(raw) if raw.isascii() and raw.isdigit() and len(raw) < 10 else 0.0


def _answered(
    rows: Sequence[DictRow], results: Sequence[IngestResult]
) -> Iterator[tuple[DictRow, IngestResult]]:
    """Each row with its own result; a row without one stays pending and is sent again.

    Results come in the order sent. Where they do not, an id tells whose they are, unless two sources share it.
    """
    if [row["id"] for row in rows] == [result.id for result in results]:
        yield from zip(rows, results, strict=True)
        return
    sent = Counter(row["id"] for row in rows)
    by_id = {result.id: result for result in results if sent[result.id] == 1}
    yield from ((row, by_id[row["id"]]) for row in rows if row["id"] in by_id)
