"""Who asks, and for which agent: carried from the request to the handler in the SDK's call context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from a2a.server.context import ServerCallContext
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.types import AgentCard
from a2a.utils.errors import (
    A2AError,
    InternalError,
    InvalidParamsError,
    MethodNotFoundError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from starlette.requests import Request

from tenant_runtime.access.principals import Principal
from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.doors.a2a.card import card_make
from tenant_runtime.doors.addresses import public_url
from tenant_runtime.errors import NotFound, RequestRefused, RuntimeFault
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.assistants import agent_find

_KEY = "freehold"


@dataclass(frozen=True)
class Asking:
    runtime: Runtime
    principal: Principal
    agent: LoadedAgent
    card: AgentCard

    @staticmethod
    def of(context: ServerCallContext) -> "Asking":
        found: Asking = context.state[_KEY]
        return found

    @asynccontextmanager
    async def faults(self) -> AsyncIterator[None]:
        """Our errors as A2A's. What nobody foresaw is the SDK's internal error, without its text."""
        try:
            yield
        except NotFound as fault:
            raise TaskNotFoundError(fault.detail) from fault
        except RequestRefused as fault:
            kind: type[A2AError] = InvalidParamsError if fault.status == 422 else UnsupportedOperationError
            raise kind(fault.detail) from fault
        except RuntimeFault as fault:
            raise InternalError(fault.detail) from fault


def agent_of(runtime: Runtime, name: str | None) -> LoadedAgent:
    """The agent a path names; without one the first of the manifest. Raises NotFound."""
    return runtime.agents.all()[0] if name is None else agent_find(runtime, name)


def card_of(runtime: Runtime, request: Request) -> AgentCard:
    """The card of the agent that the request's path is about."""
    name, base = request.path_params.get("agent"), public_url(runtime, request)
    agent = agent_of(runtime, name)
    own = f"{base}/a2a/{agent.entry.name}"
    return card_make(
        agent, tenant=runtime.settings.tenant, rest_url=base if name is None else own, rpc_url=own
    )


class AskingBuilder(ServerCallContextBuilder):
    def build(self, request: Request) -> ServerCallContext:
        runtime: Runtime = request.app.state.runtime
        try:
            agent = agent_of(runtime, request.path_params.get("agent"))
        except NotFound as fault:
            raise MethodNotFoundError(fault.detail) from fault
        asking = Asking(runtime, request.state.principal, agent, card_of(runtime, request))
        return ServerCallContext(state={"headers": dict(request.headers), _KEY: asking})
