"""Tools of a pydantic-ai agent, both ways through the gateway.

The agent's own functions become gateway tools: a call that the library has checked goes to `AgentContext.tool`, which
looks at the allow-list, keeps the ledger, meters, and only then runs the function. The tools that the manifest grants
besides are offered to the agent as a toolset.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic_ai import ApprovalRequired, CallDeferred, ModelRetry, RunContext
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import SchemaValidator, core_schema, to_jsonable_python

from tenant_runtime.agents.context import current
from tenant_runtime.errors import ToolArgumentsInvalid, ToolFailed
from tenant_runtime.gateway.tools import Tool, ToolContext

OWN_TIMEOUT_S: Final = 60.0
_ANY_OBJECT: Final = SchemaValidator(core_schema.dict_schema(keys_schema=core_schema.str_schema()))


class OwnArguments(BaseModel):
    """Arguments the library has checked against the function's own signature already."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class _Call:
    """What the function needs and JSON cannot carry: the checked arguments and the library's own context."""

    wrapped: AbstractToolset[Any]
    arguments: dict[str, Any]
    context: RunContext[Any]
    tool: ToolsetTool[Any]


_call: ContextVar[_Call] = ContextVar("tenant_runtime_pydantic_ai_call")


async def _own_run(_: OwnArguments, __: ToolContext) -> dict[str, Any]:
    """Answers `{"return": ...}` as plain data; `retry`, `approval` and `defer` stand for what the library raises."""
    call = _call.get()
    try:
        answer = await call.wrapped.call_tool(
            call.tool.tool_def.name, call.arguments, call.context, call.tool
        )
    except ModelRetry as retry:
        return {"retry": retry.message}
    except ApprovalRequired as wanted:
        return {"approval": to_jsonable_python(wanted.metadata, serialize_unknown=True)}
    except CallDeferred as wanted:
        return {"defer": to_jsonable_python(wanted.metadata, serialize_unknown=True)}
    return {"return": to_jsonable_python(answer, serialize_unknown=True)}


def own_tool(name: str, definition: ToolDefinition | None = None) -> Tool:
    """The gateway's tool for a function of the agent's own. Its `metadata` may say `idempotent` or `read_only`."""
    said = (definition.metadata if definition else None) or {}
    timeout_s = (definition.timeout if definition else None) or OWN_TIMEOUT_S
    description = (definition.description if definition else None) or ""
    return Tool(
        name, description, OwnArguments, _own_run, timeout_s, idempotent=said.get("idempotent") is True,
        read_only=said.get("read_only") is True,
    )  # fmt: skip


class GuardedToolset(WrapperToolset[Any]):
    """The agent's own toolset with the gateway in between. What the entry does not name is not even offered."""

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        allowed = {spec["function"]["name"] for spec in current().tool_specs()}
        return {name: tool for name, tool in (await super().get_tools(ctx)).items() if name in allowed}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        token = _call.set(_Call(self.wrapped, tool_args, ctx, tool))
        try:
            answer = await current().tool(name, to_jsonable_python(tool_args, serialize_unknown=True))
        finally:
            _call.reset(token)
        if "retry" in answer:
            raise ModelRetry(str(answer["retry"]))
        if "approval" in answer:
            raise ApprovalRequired(metadata=answer["approval"])
        if "defer" in answer:
            raise CallDeferred(metadata=answer["defer"])
        return answer["return"]


class GatewayToolset(AbstractToolset[Any]):
    """The manifest's tools but `own`. Bad arguments and failures are told to the model, which may try again."""

    def __init__(self, own: frozenset[str]) -> None:
        self._own = own

    @property
    def id(self) -> str | None:
        return "gateway"

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        tools: dict[str, ToolsetTool[Any]] = {}
        for spec in current().tool_specs():
            function = spec["function"]
            if function["name"] in self._own:
                continue
            definition = ToolDefinition(
                name=function["name"],
                description=function["description"],
                parameters_json_schema=function["parameters"],
            )
            tools[definition.name] = ToolsetTool(
                toolset=self, tool_def=definition, max_retries=2, args_validator=_ANY_OBJECT
            )
        return tools

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        try:
            return await current().tool(name, tool_args)
        except (ToolArgumentsInvalid, ToolFailed) as fault:
            raise ModelRetry(f"{fault.code}: {fault.detail}") from fault
