"""The front door of every tool call: allow-list, argument check, time limit, log line. The ledger bills it."""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, ValidationError

from tenant_runtime.errors import RuntimeFault, ToolArgumentsInvalid, ToolDenied, ToolFailed
from tenant_runtime.gateway.tools import Tool, ToolContext

log = logging.getLogger(__name__)


class Gateway:
    """The tools one agent may call. Whatever the model asks for, nothing outside `allowed` runs."""

    def __init__(self, tools: dict[str, Tool], allowed: Collection[str], *, agent: str) -> None:
        self._tools = {name: tools[name] for name in allowed}
        self._agent = agent

    def specs(self) -> list[dict[str, Any]]:
        return [tool.spec() for tool in self._tools.values()]

    def check(self, name: str, arguments: str | dict[str, Any]) -> "CheckedCall":
        """The call as it may be made. Raises ToolDenied or ToolArgumentsInvalid; nothing ran yet."""
        tool = self._tools.get(name)
        if tool is None:
            log.warning("tool denied", extra={"agent": self._agent, "tool": name[:80]})
            raise ToolDenied(f"{name[:80]!r} is not on the allow-list of {self._agent}")
        try:
            checked = (
                tool.arguments.model_validate_json(arguments)
                if isinstance(arguments, str)
                else tool.arguments.model_validate(arguments)
            )
        except ValidationError as error:
            places = ", ".join(".".join(map(str, item["loc"])) or "arguments" for item in error.errors())
            raise ToolArgumentsInvalid(f"{name}: {places}") from error
        return CheckedCall(tool, checked, self._agent)


@dataclass(frozen=True)
class CheckedCall:
    tool: Tool
    arguments: BaseModel
    agent: str

    async def run(self, context: ToolContext) -> dict[str, Any]:
        """The tool's answer. Raises the tool's own RuntimeFault, else ToolFailed; the code `tool_timeout` tells that
        it did not answer in time.

        Arguments and answers are never logged: they may quote a user or a document.
        """
        name, begun, outcome = self.tool.name, time.monotonic(), "error"
        try:
            async with asyncio.timeout(self.tool.timeout_s):
                answer = await self.tool.run(self.arguments, context)
            outcome = "ok"
            return answer
        except TimeoutError as error:
            outcome = "timeout"
            raise ToolFailed(
                f"{name}: no answer within {self.tool.timeout_s:g} s", code="tool_timeout"
            ) from error
        except GraphBubbleUp:
            outcome = "asks"
            raise
        except RuntimeFault:
            raise
        except Exception as error:
            raise ToolFailed(f"{name}: {type(error).__name__}", code="tool_crashed") from error
        finally:
            duration = int((time.monotonic() - begun) * 1000)
            log.info(
                "tool call",
                extra={"agent": self.agent, "tool": name, "outcome": outcome, "duration_ms": duration},
            )
