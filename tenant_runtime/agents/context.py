"""What an agent's code may use during a run. Nodes call `current()`; there is no other way to model or tool."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import asdict
from datetime import datetime
from typing import Any

from langgraph.config import get_config

from tenant_runtime.database import Connection
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.sleeping import moment_of, sleep_until
from tenant_runtime.errors import AgentFault, RuntimeFault
from tenant_runtime.gateway.gate import CheckedCall, Gateway
from tenant_runtime.gateway.tools import ToolContext
from tenant_runtime.ledger.ledger import CallFailed, Ledger, Outcome
from tenant_runtime.ledger.places import StepPlace
from tenant_runtime.ledger.states import Call
from tenant_runtime.memory.long_term import LongTermMemory, Passage
from tenant_runtime.memory.short_term import ShortTermMemory
from tenant_runtime.models.client import ChatAnswer, Embedded, ModelClient, TokenUsage, ToolCall

#: Codes of a tool's end that do not tell whether it took effect.
_UNTOLD = ("tool_timeout", "tool_crashed")


#: How many runs one run may start.
MOST_STARTS = 32
#: (key of the step, agent, its input, a thread or None) -> ids of the run and its thread.
Starter = Callable[[uuid.UUID, str, Any, str | None], Awaitable[dict[str, Any]]]


class AgentContext:
    """One run's doors. Every call goes through the run's ledger, every tool call through the gateway before."""

    def __init__(
        self,
        *,
        thread_id: str,
        ledger: Ledger,
        model: ModelClient,
        model_name: str | None,
        gateway: Gateway,
        short_term: ShortTermMemory,
        long_term: LongTermMemory,
        starter: Starter | None = None,
        asleep: Mapping[str, str] | None = None,
    ) -> None:
        self.thread_id = thread_id
        self._asleep, self._slept = dict(asleep or {}), Counter[str]()
        self.short_term = short_term
        self._ledger, self._model, self._model_name = ledger, model, model_name
        self._gateway, self._long_term = gateway, long_term
        self._starter, self._started = starter, 0

    async def chat(self, messages: list[dict[str, Any]], **options: Any) -> ChatAnswer:
        """One answer of the agent's model; `options` are the endpoint's own."""
        name = self._model_name or self._model.model

        async def dispatch(_: uuid.UUID, place: StepPlace) -> Outcome:
            answer = await self._model.chat(messages, model=self._model_name, **options)
            return self._billed(asdict(answer), answer, place)

        call = Call("chat", name, {"messages": messages, "options": options}, repeatable=True, afresh=True)
        data = await self._ledger.step(call, dispatch)
        calls = [ToolCall(**each) for each in data["tool_calls"]]
        return ChatAnswer(data["model"], data["text"], calls, TokenUsage(**data["usage"]))

    async def embed(self, texts: list[str]) -> Embedded:
        async def dispatch(_: uuid.UUID, place: StepPlace) -> Outcome:
            done = await self._model.embed(texts)
            return self._billed(asdict(done), done, place)

        call = Call("embed", self._model.embedding_model, texts, repeatable=True, afresh=True)
        data = await self._ledger.step(call, dispatch)
        return Embedded(data["model"], data["vectors"], TokenUsage(**data["usage"]))

    def _billed(self, data: dict[str, Any], answer: ChatAnswer | Embedded, place: StepPlace) -> Outcome:
        account = self._ledger.account

        async def bill(conn: Connection, id_: str) -> None:
            await self._ledger.outbox.model_call(
                conn, id_=id_, run_id=account.run_id, place=place.label, user=account.user, agent=account.agent,
                version=account.version, model=answer.model, usage=answer.usage,
            )  # fmt: skip

        return Outcome(data, asdict(answer.usage), bill)

    async def search(self, query: str, *, limit: int = 6) -> list[Passage]:
        """Passages of long-term memory near the query, best first."""
        return await self._long_term.search(query, self.embed, limit=limit)

    def tool_specs(self) -> list[dict[str, Any]]:
        return self._gateway.specs()

    async def start(self, agent: str, given: Any, *, thread: str | uuid.UUID | None = None) -> str:
        """Starts a run of another agent on the account of this run's principal, and does not wait: the run's id.

        One step starts one run, however often it is replayed. Without a thread the run gets one of its own, which is
        kept. AgentFault when that agent led to this run (`start_cycle`), too many are above (`start_too_deep`), this
        run started MOST_STARTS already, or the run is refused.
        """
        self._started += 1
        starter = self._starter
        if starter is None or self._started > MOST_STARTS:
            raise AgentFault(f"a run may start {MOST_STARTS} others", code="start_too_many")
        where = None if thread is None else str(thread)

        async def free(_: Connection, __: str) -> None:
            """The started run is billed, not the start."""

        async def dispatch(key: uuid.UUID, _: StepPlace) -> Outcome:
            return Outcome(await starter(key, agent, given, where), {}, free)

        call = Call(
            "tool", f"start:{agent}", {"input": given, "thread": where}, repeatable=True, afresh=False
        )
        ids: dict[str, Any] = await self._ledger.step(call, dispatch)
        return str(ids["run_id"])

    async def tool(self, name: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
        """The tool's answer, as JSON carries it.

        Raises ToolDenied or ToolArgumentsInvalid before anything ran, and the tool's failure after. A call whose
        outcome an earlier attempt did not get to know interrupts the run, unless the tool may be called again.
        """
        checked = self._gateway.check(name, arguments)
        tool = checked.tool

        async def dispatch(key: uuid.UUID, place: StepPlace) -> Outcome:
            return await self._dispatch(checked, key, place)

        call = Call(
            "tool", tool.name, checked.arguments.model_dump(mode="json"),
            repeatable=tool.idempotent or tool.read_only, afresh=tool.read_only,
        )  # fmt: skip
        answer: dict[str, Any] = await self._ledger.step(
            call, dispatch, lambda data, place: self._tool_outcome(tool.name, place, data, 0)
        )
        return answer

    async def _dispatch(self, checked: CheckedCall, key: uuid.UUID, place: StepPlace) -> Outcome:
        name, begun = checked.tool.name, time.monotonic()

        def took_ms() -> int:
            return int((time.monotonic() - begun) * 1000)

        try:
            answer = await checked.run(ToolContext(self._long_term, self.embed, str(key), self._ledger.pool))
        except RuntimeFault as fault:
            # The tool's own word that it failed is taken; silence and a crash say nothing.
            if not isinstance(fault, AgentFault) or fault.code in _UNTOLD:
                raise
            told = {"code": fault.code, "detail": fault.detail}
            raise CallFailed(fault, self._tool_outcome(name, place, told, took_ms(), failed=True)) from fault
        return self._tool_outcome(name, place, json.loads(dumps(answer)), took_ms())

    def _tool_outcome(
        self, name: str, place: StepPlace, data: Any, duration_ms: int, *, failed: bool = False
    ) -> Outcome:
        account = self._ledger.account

        async def bill(conn: Connection, id_: str) -> None:
            await self._ledger.outbox.tool_call(
                conn, id_=id_, run_id=account.run_id, place=place.label, user=account.user, agent=account.agent,
                tool=name, duration_ms=duration_ms,
            )  # fmt: skip

        return Outcome(data, {"duration_ms": duration_ms}, bill, failed=failed)

    async def sleep(self, seconds: float | None = None, *, until: datetime | None = None) -> None:
        """Leaves the worker for `seconds`, or until a moment with a time zone; hours and months alike.

        Meanwhile the run is pending with `wake_at` and can be canceled; it goes on on any worker. As after any
        interrupt, the node begins again from its start, and this call then returns at once.
        """
        namespace = get_config()["configurable"].get("checkpoint_ns", "")
        self._slept[namespace] += 1
        place = f"{namespace}#{self._slept[namespace]}"
        known = self._asleep.get(place)
        moment = datetime.fromisoformat(known) if known else moment_of(until, seconds)
        sleep_until(moment, run_id=self._ledger.account.run_id, place=place)


_current: ContextVar[AgentContext] = ContextVar("tenant_runtime_agent_context")


def current() -> AgentContext:
    """The context of the run this code is part of; LookupError outside of one."""
    return _current.get()


def enter(context: AgentContext) -> None:
    """For the engine: binds the context to the task that executes the run, and to the tasks it starts."""
    _current.set(context)
