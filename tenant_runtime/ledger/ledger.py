"""The ledger of one run: every call goes through `step`, which calls at most once what must not happen twice."""

import asyncio
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from langgraph.errors import GraphBubbleUp
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from tenant_runtime.access.audit import audit_write
from tenant_runtime.crashpoints import crash_point
from tenant_runtime.database import Connection, Pool
from tenant_runtime.engine.fence import fence_current, fence_demand_fresh, fence_hold
from tenant_runtime.engine.serde.sealing import Sealer, SealRefused
from tenant_runtime.engine.serial import dumps
from tenant_runtime.errors import RuntimeFault, StateRefused, StepOutsideGraph, ToolFailed
from tenant_runtime.ledger import questions, rows
from tenant_runtime.ledger.calls import call_write
from tenant_runtime.ledger.places import StepPlace, place_now
from tenant_runtime.ledger.rows import Step
from tenant_runtime.ledger.states import Call, StepState, idempotency_key, next_move, step_key
from tenant_runtime.metering.accounts import Account
from tenant_runtime.metering.outbox import Outbox

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A database that restarts is waited for: a call that was made must not be forgotten for that.
_TRIES: Final = 7
_PAUSE_S: Final = 0.1
_PLAIN: Final = "json"


@dataclass(frozen=True)
class Outcome:
    """What a call gave: JSON data, and the event that bills it. `failed` keeps an error the agent is to see again."""

    data: Any
    usage: dict[str, Any]
    bill: Callable[[Connection, str], Awaitable[None]]
    failed: bool = False


Dispatch = Callable[[uuid.UUID, StepPlace], Awaitable[Outcome]]
#: What a person says a call has answered, as the outcome to keep.
Told = Callable[[Any, StepPlace], Outcome]


class CallFailed(Exception):
    """Raised by a dispatch whose callee says that nothing has happened: `outcome` is kept, `fault` is raised."""

    def __init__(self, fault: RuntimeFault, outcome: Outcome) -> None:
        super().__init__(str(fault))
        self.fault, self.outcome = fault, outcome


class Ledger:
    """One per attempt of a run; whoever executes the run is the thread's only writer."""

    def __init__(
        self, pool: Pool, outbox: Outbox, sealer: Sealer | None, *, thread_id: uuid.UUID, account: Account
    ) -> None:
        self._pool, self.outbox, self._sealer = pool, outbox, sealer
        self.account = account
        self._thread, self._run = thread_id, uuid.UUID(account.run_id)
        self._seen: Counter[str] = Counter()
        self._left: dict[str, Step] = {}
        self._claimed: set[str] = set()
        self._failed_here: set[str] = set()
        self._loading = asyncio.Lock()
        self._loaded = False

    @property
    def pool(self) -> Pool:
        return self._pool

    async def step(self, call: Call, dispatch: Dispatch, told: Told | None = None) -> Any:
        """The call's data, from the call itself or as an earlier attempt stored it. Tools with effects need `told`.

        Raises what the dispatch raises; GraphInterrupt when a person has to say whether it took effect.
        """
        place = place_now()
        if place is None:
            raise StepOutsideGraph(f"{call.name}: called outside of the agent's graph")
        # Numbered before anything is awaited, so that parallel calls are numbered in the order they were made.
        first = step_key(place.task, call, attempt=place.attempt, nth=0)
        self._seen[f"{place.attempt}:{first}"] += 1
        key = step_key(place.task, call, attempt=place.attempt, nth=self._seen[f"{place.attempt}:{first}"])
        await self._load()
        self._forget_what_is_behind(place)
        step, why = await self._claim(key, place, call)
        if step is None:
            step = await self._write(
                lambda conn: rows.step_begin(
                    conn, thread_id=self._thread, run_id=self._run, key=key, place=place, call=call,
                    idempotency_key=idempotency_key(self._thread, key),
                )
            )  # fmt: skip
        else:
            found = await self._resume(
                step, call, why, place, lambda data: told(data, place) if told else None
            )
            if isinstance(found, _Stored):
                return found.data
            step = found
        self._left[key] = step
        return await self._make(step, place, dispatch)

    async def _make(self, step: Step, place: StepPlace, dispatch: Dispatch) -> Any:
        crash_point(f"runtime.{step.kind}.intent")
        if not step.repeatable:
            # A worker that stood still since the intent may have a successor, whose person has answered by now.
            fence_demand_fresh()
        begun = time.monotonic()

        def took_ms() -> int:
            return int((time.monotonic() - begun) * 1000)

        try:
            outcome = await dispatch(step.idempotency_key, place)
        except CallFailed as refused:
            self._failed_here.add(step.key)
            await self._settle(step, refused.outcome, place, took_ms())
            raise refused.fault from refused.__cause__
        except GraphBubbleUp:
            # The tool itself asks a person, or sleeps: it is called again when the run goes on.
            await self._write(lambda conn: rows.step_forget(conn, self._thread, step))
            del self._left[step.key]
            raise
        except Exception:
            # Whether it took effect is not known: the agent sees the error, and the same call asks a person.
            if not step.repeatable:
                await self._doubt(step)
            raise
        crash_point(f"runtime.{step.kind}.dispatched")
        await self._settle(step, outcome, place, took_ms())
        crash_point(f"runtime.{step.kind}.done")
        return outcome.data

    async def _settle(
        self, step: Step, outcome: Outcome, place: StepPlace, duration_ms: int = 0, *, answered: bool = False
    ) -> None:
        state: StepState = "failed" if outcome.failed else "done"
        kind, data = self._sealed(step, dumps(outcome.data).encode())
        bill_id = f"{self._run}:{step.key}" + (f":{step.tries}" if step.tries > 1 else "")

        async def settle(conn: Connection) -> None:
            moved = await rows.step_settle(
                conn, self._thread, step, state=state, result_type=kind, result=data, usage=outcome.usage,
                answered=answered,
            )  # fmt: skip
            if moved:
                await outcome.bill(conn, bill_id)
                await call_write(
                    conn, run_id=self._run, step=step, place=place.label, state=state, usage=outcome.usage,
                    duration_ms=duration_ms,
                )  # fmt: skip
            if moved and answered:
                await self._audit(conn, "step.done", self.account.user, step)

        await self._write(settle, alone=True)
        self._left[step.key] = rows.settled(step, state=state, result_type=kind, result=data)

    async def _claim(self, key: str, place: StepPlace, call: Call) -> tuple[Step | None, str]:
        """The step an earlier attempt began here, and why it may have to be asked about."""
        if (step := self._left.get(key)) is not None:
            self._claimed.add(key)
            return step, "lost"
        self._claimed.add(key)
        if call.repeatable:
            return None, "lost"
        for step in [step for step in self._left.values() if step.key not in self._claimed]:
            if (step.kind, step.name, step.repeatable) != (call.kind, call.name, False):
                continue
            same_call, same_task = step.args_hash == call.args_hash, step.root_task == place.root
            in_doubt = step.state in ("intent", "unknown")
            if not ((same_call and (same_task or in_doubt)) or (same_task and not same_call)):
                continue
            doubt = not same_call
            adopted = await self._write(
                lambda conn, step=step, doubt=doubt: rows.step_adopt(  # type: ignore[misc]
                    conn, self._thread, step, key=key, place=place, call=call, doubt=doubt
                )
            )
            del self._left[step.key]
            self._left[key] = adopted
            return adopted, "diverged" if doubt else "lost"
        return None, "lost"

    async def _resume(
        self, step: Step, call: Call, why: str, place: StepPlace, told: Callable[[Any], Outcome | None]
    ) -> "_Stored | Step":
        """What is known of a step that was begun before: its data, or the step as it may be called now."""
        asked = questions.question(
            tool=call.name, arguments=call.arguments, key=step.idempotency_key, run_id=step.run_id,
            begun_at=step.created_at, why=why,
        )  # fmt: skip
        # LangGraph gives answers by their order: those applied in an earlier attempt are passed again.
        for _ in range(step.asks):
            questions.ask(asked)
        move = next_move(step.state, repeatable=call.repeatable, failed_here=step.key in self._failed_here)
        if move == "stored":
            return _Stored(self._opened(step))
        if move == "raise":
            self._failed_here.add(step.key)
            stored = self._opened(step)
            raise ToolFailed(str(stored.get("detail", "")), code=str(stored.get("code", ToolFailed.code)))
        if move == "call":
            tries = step.tries + 1 if step.state == "failed" else 1
            key = idempotency_key(self._thread, step.key, tries=tries) if tries > 1 else step.idempotency_key
            return await self._write(
                lambda conn: rows.step_again(conn, self._thread, step, run_id=self._run, idempotency_key=key)
            )
        return await self._ask(step, asked, place, told)

    async def _ask(
        self, step: Step, asked: dict[str, Any], place: StepPlace, told: Callable[[Any], Outcome | None]
    ) -> "_Stored | Step":
        await self._doubt(step)
        value = questions.ask(asked)
        while (answer := questions.answer_of(value)) is None:
            await self._write(lambda conn: rows.step_unanswered(conn, self._thread, step))
            value = questions.ask(asked, "The answer before was none of `resume_with`.")
        if answer.outcome == "done":
            outcome = told(answer.result)
            assert outcome is not None, "only tools are asked about"
            await self._settle(step, outcome, place, answered=True)
            return _Stored(outcome.data)

        async def again(conn: Connection) -> Step:
            await self._audit(conn, "step.not_done", self.account.user, step)
            return await rows.step_again(
                conn,
                self._thread,
                step,
                run_id=self._run,
                idempotency_key=step.idempotency_key,
                answered=True,
            )

        return await self._write(again)

    async def _doubt(self, step: Step) -> None:
        async def doubt(conn: Connection) -> None:
            if await rows.step_doubt(conn, self._thread, step):
                await self._audit(conn, "step.unknown", "runtime", step)

        await self._write(doubt)

    async def _audit(self, conn: Connection, action: str, actor: str, step: Step) -> None:
        await audit_write(
            conn, actor=actor, action=action, object_=f"thread/{self._thread}", step=step.key, tool=step.name,
            run_id=str(self._run),
        )  # fmt: skip

    async def _load(self) -> None:
        async with self._loading:
            if not self._loaded:
                async with self._pool.connection() as conn:
                    left = await rows.steps_of(conn, self._thread)
                self._left = {step.key: step for step in left}
                self._loaded = True

    def _forget_what_is_behind(self, place: StepPlace) -> None:
        """Steps of tasks that a checkpoint has taken in are never looked for again, except those in doubt."""
        self._left = {
            key: step
            for key, step in self._left.items()
            if step.root_checkpoint_id == place.root_checkpoint or step.state in ("intent", "unknown")
        }

    @asynccontextmanager
    async def _writing(self, *, alone: bool) -> AsyncIterator[Connection]:
        async with self._pool.connection() as conn, conn.transaction():
            if (fence := fence_current()) is not None:
                await fence_hold(conn, fence, alone=alone)
            yield conn

    async def _write(self, work: Callable[[Connection], Awaitable[T]], *, alone: bool = False) -> T:
        """The work in one fenced transaction, again while the database is away; each of them may be repeated."""
        for again in range(_TRIES):
            try:
                async with self._writing(alone=alone) as conn:
                    return await work(conn)
            except (OperationalError, PoolTimeout):
                if again == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE_S * 2**again)
        raise AssertionError("unreachable")

    def _bound_to(self, step: Step) -> tuple[str, ...]:
        """A step's key changes when a replay adopts it; the key it gave to its callee does not."""
        return ("step", str(self._thread), str(step.idempotency_key))

    def _sealed(self, step: Step, data: bytes) -> tuple[str, bytes]:
        return (
            (_PLAIN, data) if self._sealer is None else self._sealer.seal(_PLAIN, data, self._bound_to(step))
        )

    def _opened(self, step: Step) -> Any:
        assert step.result is not None
        if self._sealer is None:
            return json.loads(step.result)
        try:
            return json.loads(self._sealer.open(step.result_type or "", step.result, self._bound_to(step))[1])
        except SealRefused as refused:
            raise StateRefused(
                f"a stored step of thread {self._thread} is refused: {refused.reason}"
            ) from refused


@dataclass(frozen=True)
class _Stored:
    data: Any


@dataclass(frozen=True)
class Ledgers:
    """Makes a ledger for each attempt of a run."""

    pool: Pool
    outbox: Outbox
    sealer: Sealer | None = None

    def of_run(self, thread_id: uuid.UUID, account: Account) -> Ledger:
        return Ledger(self.pool, self.outbox, self.sealer, thread_id=thread_id, account=account)
