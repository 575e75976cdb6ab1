"""How a run ended and what it said on the way, in the words other protocols share."""

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from contracts.usage import MODEL_USAGE
from tenant_runtime.doors.texts import answer_text, message_text, question_text
from tenant_runtime.engine.events import events_follow
from tenant_runtime.engine.states import TERMINAL
from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.waiting import run_ended

Row = dict[str, Any]
#: Modes a run is started with when its text is to be streamed.
STREAM_MODES: Final = ["values", "messages-tuple"]


@dataclass(frozen=True)
class Usage:
    """Tokens of a run's model calls, as they are billed. `cached` and `written` are part of `input`, `reasoning` is
    part of `output`."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0


def was_canceled(row: Row) -> bool:
    return row["status"] == "interrupted" and row["cancel_action"] is not None


@dataclass(frozen=True)
class Outcome:
    """`row` is the run. `text` is the answer, or the question it waits for an answer to (`interrupts` not empty).
    `error` is (code, detail) of a run that failed."""

    row: Row
    text: str
    interrupts: list[Any]
    error: tuple[str, str] | None

    @property
    def canceled(self) -> bool:
        return was_canceled(self.row)


async def outcome_wait(runtime: Runtime, run_id: uuid.UUID) -> Outcome:
    """Returns when the run is over. Raises NotFound when it was removed."""
    row = await run_ended(runtime, run_id)
    if row is None:
        raise NotFound(f"run {run_id} was removed", code="run_not_found")
    return await outcome_of(runtime, row)


async def outcome_of(runtime: Runtime, row: Row) -> Outcome:
    """For a run that is over."""
    interrupts = await interrupts_of(runtime, row)
    if interrupts:
        return Outcome(row, question_text(interrupts), interrupts, None)
    error = (row["error_code"], row["error_detail"] or "") if row["error_code"] else None
    values = json.loads(row["output"]) if row["output"] else None
    return Outcome(row, "" if values is None else answer_text(values), [], error)


async def interrupts_of(runtime: Runtime, row: Row) -> list[Any]:
    """What the run's thread waits for, if this run is the one that left it waiting."""
    if row["status"] not in TERMINAL:
        return []
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT t.interrupts FROM threads t WHERE t.thread_id = %(t)s AND t.status = 'interrupted' "
            "AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.thread_id = t.thread_id AND o.seq > %(s)s)",
            {"t": row["thread_id"], "s": row["seq"]},
        )
        found = await cursor.fetchone()
    return [item for items in (found["interrupts"] if found else {}).values() for item in items]


async def texts_follow(runtime: Runtime, run_id: uuid.UUID) -> AsyncGenerator[str | None]:
    """What the agent says, piece by piece, until the run is over. None: nothing for a while, and it goes on."""
    async with aclosing(events_follow(runtime.pool, runtime.bus, run_id)) as events:
        async for item in events:
            if item is None:
                yield None
            elif item.event.partition("|")[0] == "messages" and (
                text := message_text(json.loads(item.data)[0])
            ):
                yield text


async def usage_of(runtime: Runtime, run_id: uuid.UUID) -> Usage:
    """From the events that are billed: what the answer says and what the invoice says are the same numbers."""
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT body FROM usage_outbox WHERE id LIKE %s ORDER BY seq", [f"{run_id}:%"]
        )
        bodies = [json.loads(row["body"]) for row in await cursor.fetchall()]
    calls = [body["data"] for body in bodies if body["type"] == MODEL_USAGE]

    def total(name: str) -> int:
        return int(sum(Decimal(str(call[name])) for call in calls))

    cached, written, reasoning = (
        total("cached_input_tokens"),
        total("cache_write_tokens"),
        total("reasoning_tokens"),
    )
    return Usage(
        input=total("input_tokens") + cached + written,
        cached=cached,
        written=written,
        output=total("output_tokens") + reasoning,
        reasoning=reasoning,
    )
