"""A pydantic-ai Agent as a graph: one node runs it, another asks; the thread keeps the history its model sees.

The node may be executed again by another worker: model and tool calls come from the ledger then, so the agent takes
the same way. Tools that want an approval interrupt the run; it is resumed with `{tool_call_id: true or false}`.
"""

import json
import uuid
from contextlib import ExitStack
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages, push_message
from langgraph.types import interrupt
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolReturnPart,
)
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import UsageLimits
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from tenant_runtime.agents.adapters.adapted import Adapted
from tenant_runtime.agents.adapters.pydantic_ai.model import Faults, context_model, faults
from tenant_runtime.agents.adapters.pydantic_ai.tools import GatewayToolset, GuardedToolset, own_tool
from tenant_runtime.agents.context import AgentContext, current
from tenant_runtime.agents.manifest import AgentEntry
from tenant_runtime.agents.schemas import type_describe
from tenant_runtime.errors import AgentFault, RuntimeFault
from tenant_runtime.gateway.tools import Tool


class PydanticAIState(TypedDict, total=False):
    """`messages` is what SDK clients see, `history` what the model sees, `output` the last run's result. `waiting` are
    tool calls that wait for a person, and `answers` what the person said."""

    messages: Annotated[list[AnyMessage], add_messages]
    history: list[dict[str, Any]]
    output: Any
    waiting: list[dict[str, Any]]
    answers: dict[str, Any]


def _prompt(state: PydanticAIState) -> str:
    """The user's words since the agent last spoke."""
    said: list[str] = []
    for message in reversed(state.get("messages", [])):
        if message.type != "human":
            break
        if not isinstance(message.content, str) and any(
            isinstance(part, dict) and part.get("type") != "text" for part in message.content
        ):
            raise AgentFault("only text can be given to this agent", code="content_unsupported")
        said.append(str(message.text))
    if not said:
        raise AgentFault("there is no user message to answer", code="question_missing")
    return "\n\n".join(reversed(said))


class _Pushed:
    """Messages of this run, each streamed as soon as it is there. Ids are the same when the node runs again."""

    def __init__(self) -> None:
        self._namespace = str(get_config().get("metadata", {}).get("langgraph_checkpoint_ns", ""))
        self.messages: list[BaseMessage] = []

    def add(self, message: BaseMessage) -> None:
        name = f"{self._namespace}:{current().thread_id}:{len(self.messages)}"
        message.id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        push_message(message, state_key=None)
        self.messages.append(message)

    def add_all(self, message: ModelMessage) -> None:
        if isinstance(message, ModelResponse):
            calls: list[Any] = [
                {"name": part.tool_name, "args": part.args_as_dict(), "id": part.tool_call_id}
                for part in message.tool_calls
            ]
            if message.text or calls:
                self.add(AIMessage(content=message.text or "", tool_calls=calls))
        elif isinstance(message, ModelRequest):
            for part in message.parts:
                if isinstance(part, ToolReturnPart):
                    self.add(
                        ToolMessage(
                            part.model_response_str(), tool_call_id=part.tool_call_id, name=part.tool_name
                        )
                    )


def _asked(wanted: DeferredToolRequests) -> list[dict[str, Any]]:
    """Calls that wait for somebody: for a yes or no (`approval`), or for their result (`result`)."""
    return [
        {
            "tool_call_id": call.tool_call_id,
            "tool": call.tool_name,
            "arguments": call.args_as_dict(),
            "wants": wants,
        }
        for wants, calls in (("approval", wanted.approvals), ("result", wanted.calls))
        for call in calls
    ]


def _misfit(calls: list[dict[str, Any]], answers: Any) -> str | None:
    """Why these answers cannot be taken; None when each call has one of its kind."""
    names = sorted(str(call["tool_call_id"]) for call in calls)
    if not isinstance(answers, dict) or sorted(answers) != names:
        return f"resume with an object that has exactly the keys {', '.join(names)}"
    for call in calls:
        answer = answers[call["tool_call_id"]]
        if call["wants"] == "approval" and not (
            isinstance(answer, bool)
            or (isinstance(answer, dict) and isinstance(answer.get("approved"), bool))
        ):
            return (
                f"{call['tool_call_id']}: wanted true, false or {{'approved': true or false, 'message': ...}}"
            )
    return None


def _results(calls: list[dict[str, Any]], answers: dict[str, Any]) -> DeferredToolResults:
    results = DeferredToolResults()
    for call in calls:
        id_ = call["tool_call_id"]
        answer = answers[id_]
        if call["wants"] == "result":
            results.calls[id_] = answer
        elif answer is True or (isinstance(answer, dict) and answer["approved"]):
            results.approvals[id_] = True
        else:
            said = answer.get("message") if isinstance(answer, dict) else None
            results.approvals[id_] = ToolDenied(str(said)) if said else ToolDenied()
    return results


async def _decide(state: PydanticAIState) -> dict[str, Any]:
    """Asks a person, again while what comes back does not fit. A node of its own: nothing before it is done twice."""
    calls, problem = state["waiting"], None
    while True:
        asked: dict[str, Any] = {"kind": "tool_approval", "calls": calls}
        answers = interrupt(asked if problem is None else {**asked, "problem": problem})
        problem = _misfit(calls, answers)
        if problem is None:
            return {"answers": answers}


def _node(agent: Agent[Any, Any], own: frozenset[str], steps: int) -> Any:
    model = context_model()
    guarded = [GuardedToolset(toolset) for toolset in agent.toolsets]
    wants_context = agent.deps_type is AgentContext

    async def converse(state: PydanticAIState, pushed: _Pushed) -> tuple[Any, list[ModelMessage]]:
        history = ModelMessagesTypeAdapter.validate_python(state.get("history") or [])
        decided = _results(state["waiting"], state["answers"]) if state.get("waiting") else None
        async with agent.iter(
            None if decided else _prompt(state), message_history=history, deferred_tool_results=decided, model=model,
            usage_limits=UsageLimits(request_limit=steps), deps=current() if wants_context else None,
        ) as run:  # fmt: skip
            # The run after a decision begins with the answer that asked for it, which is out already.
            said = decided is not None
            async for node in run:
                if Agent.is_call_tools_node(node):
                    if not said:
                        pushed.add_all(node.model_response)
                    said = False
                elif Agent.is_model_request_node(node):
                    pushed.add_all(node.request)
        assert run.result is not None
        return run.result.output, run.result.all_messages()

    async def answer(state: PydanticAIState) -> dict[str, Any]:
        behind, pushed = Faults(), _Pushed()
        token = faults.set(behind)
        try:
            with ExitStack() as stack:
                # One call after another: the ledger numbers calls, and a replay must number them alike.
                stack.enter_context(agent.parallel_tool_call_execution_mode("sequential"))
                stack.enter_context(agent.override(tools=[], toolsets=[*guarded, GatewayToolset(own)]))
                output, history = await converse(state, pushed)
        except (RuntimeFault, GraphBubbleUp):
            raise
        except UsageLimitExceeded as over:
            raise AgentFault(str(over), code="step_limit") from over
        except Exception as error:
            if behind.found:
                # The library only saw that its request failed; this is why.
                raise behind.found[-1] from error
            raise
        finally:
            faults.reset(token)
        kept = ModelMessagesTypeAdapter.dump_python(history, mode="json")
        if isinstance(output, DeferredToolRequests):
            return {"messages": pushed.messages, "history": kept, "waiting": _asked(output), "answers": {}}
        plain = to_jsonable_python(output, serialize_unknown=True)
        if not isinstance(output, str):
            pushed.add(AIMessage(content=json.dumps(plain, ensure_ascii=False)))
        return {"messages": pushed.messages, "history": kept, "output": plain, "waiting": [], "answers": {}}

    return answer


def _next(state: PydanticAIState) -> str:
    return "decide" if state.get("waiting") else END


def adapt_agent(found: Any, entry: AgentEntry) -> Adapted:
    """The agent's model is replaced by the entry's; its functions must be on the entry's list of tools."""
    if not isinstance(found, Agent):
        raise TypeError(f"a pydantic_ai agent is a pydantic_ai.Agent, not {type(found).__name__}")
    if found.deps_type not in (AgentContext, object, type(None), None):
        raise TypeError(
            "deps_type of a pydantic_ai agent is AgentContext or nothing: a run has no other to give"
        )
    own: dict[str, Tool] = {}
    opened = False
    for toolset in found.toolsets:
        if isinstance(toolset, FunctionToolset):
            own |= {name: own_tool(name, tool.tool_def) for name, tool in toolset.tools.items()}
        else:
            opened = True
    builder = StateGraph(PydanticAIState)
    builder.add_node("agent", _node(found, frozenset(own), entry.limits.steps))
    builder.add_edge(START, "agent")
    builder.add_node("decide", _decide)
    builder.add_conditional_edges("agent", _next, ["decide", END])
    builder.add_edge("decide", "agent")
    outputs = found.output_type if isinstance(found.output_type, list | tuple) else [found.output_type]
    schema = {"adapter": "pydantic_ai/1", "output": [type_describe(kind) for kind in outputs]}
    return Adapted(
        lambda checkpointer: builder.compile(checkpointer=checkpointer),
        schema,
        own,
        (lambda name: own_tool(name)) if opened else None,
    )
