"""What an agent's code may use during a run. Nodes call `current()`; there is no other way to model or tool."""

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from langgraph.config import get_config

from tenant_runtime.gateway.gate import Gateway
from tenant_runtime.gateway.tools import ToolContext
from tenant_runtime.memory.long_term import LongTermMemory, Passage
from tenant_runtime.memory.short_term import ShortTermMemory
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.models.client import ChatAnswer, Embedded, ModelClient


@dataclass(frozen=True)
class Account:
    """On whose account a call goes: the labels of its usage events."""

    run_id: str
    user: str
    agent: str
    version: str


@dataclass
class Calls:
    """Numbers the calls of one account. Replaying the same steps gives the same numbers, so the same ids."""

    outbox: Outbox
    account: Account
    _seen: Counter[str] = field(default_factory=Counter)

    def _place(self) -> str:
        """`step:node` inside a graph, `0:main` outside."""
        try:
            metadata = get_config().get("metadata", {})
        except RuntimeError:
            metadata = {}
        return f"{metadata.get('langgraph_step', 0)}:{metadata.get('langgraph_node', 'main')}"

    def _nth(self, place: str, kind: str) -> int:
        self._seen[f"{place}:{kind}"] += 1
        return self._seen[f"{place}:{kind}"]

    async def model(self, answer: ChatAnswer | Embedded) -> None:
        place, account = self._place(), self.account
        await self.outbox.model_call(
            run_id=account.run_id, place=place, user=account.user, agent=account.agent, version=account.version,
            model=answer.model, usage=answer.usage, nth=self._nth(place, "model"),
        )  # fmt: skip

    async def tool(self, name: str, duration_ms: int) -> None:
        place, account = self._place(), self.account
        await self.outbox.tool_call(
            run_id=account.run_id, place=place, user=account.user, agent=account.agent, tool=name,
            duration_ms=duration_ms, nth=self._nth(place, "tool"),
        )  # fmt: skip


class AgentContext:
    """One run's doors. Every model call is metered, every tool call passes the gateway."""

    def __init__(
        self,
        *,
        thread_id: str,
        calls: Calls,
        model: ModelClient,
        model_name: str | None,
        gateway: Gateway,
        short_term: ShortTermMemory,
        long_term: LongTermMemory,
    ) -> None:
        self.thread_id = thread_id
        self.short_term = short_term
        self._calls, self._model, self._model_name = calls, model, model_name
        self._gateway, self._long_term = gateway, long_term

    async def chat(self, messages: list[dict[str, Any]], **options: Any) -> ChatAnswer:
        answer = await self._model.chat(messages, model=self._model_name, **options)
        await self._calls.model(answer)
        return answer

    async def embed(self, texts: list[str]) -> Embedded:
        done = await self._model.embed(texts)
        await self._calls.model(done)
        return done

    async def search(self, query: str, *, limit: int = 6) -> list[Passage]:
        """Passages of long-term memory near the query, best first."""
        return await self._long_term.search(query, self.embed, limit=limit)

    def tool_specs(self) -> list[dict[str, Any]]:
        return self._gateway.specs()

    async def tool(self, name: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
        context = ToolContext(self._long_term, self.embed)
        return await self._gateway.call(name, arguments, context, meter=self._calls.tool)


_current: ContextVar[AgentContext] = ContextVar("tenant_runtime_agent_context")


def current() -> AgentContext:
    """The context of the run this code is part of; LookupError outside of one."""
    return _current.get()


def enter(context: AgentContext) -> None:
    """For the engine: binds the context to the task that executes the run, and to the tasks it starts."""
    _current.set(context)
