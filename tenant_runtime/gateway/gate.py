"""The front door of every tool call: allow-list, argument check, time limit, log line, usage event."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from pydantic import ValidationError

from tenant_runtime.errors import RuntimeFault, ToolArgumentsInvalid, ToolDenied, ToolFailed
from tenant_runtime.gateway.tools import Tool, ToolContext

log = logging.getLogger(__name__)

#: Called after every call that was let through: (tool name, duration in ms).
Meter = Callable[[str, int], Awaitable[None]]


class Gateway:
    """The tools one agent may call. Whatever the model asks for, nothing outside `allowed` runs."""

    def __init__(self, tools: dict[str, Tool], allowed: Collection[str], *, agent: str) -> None:
        self._tools = {name: tools[name] for name in allowed}
        self._agent = agent

    def specs(self) -> list[dict[str, Any]]:
        return [tool.spec() for tool in self._tools.values()]

    async def call(
        self, name: str, arguments: str | dict[str, Any], context: ToolContext, *, meter: Meter
    ) -> dict[str, Any]:
        """The tool's answer. Raises ToolDenied or ToolArgumentsInvalid before anything ran, ToolFailed after.

        Arguments and answers are never logged: they may quote a user or a document.
        """
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
        begun = time.monotonic()
        outcome = "error"
        try:
            async with asyncio.timeout(tool.timeout_s):
                answer = await tool.run(checked, context)
            outcome = "ok"
            return answer
        except TimeoutError as error:
            outcome = "timeout"
            raise ToolFailed(f"{name}: no answer within {tool.timeout_s:g} s", code="tool_timeout") from error
        except RuntimeFault:
            raise
        except Exception as error:
            raise ToolFailed(f"{name}: {type(error).__name__}") from error
        finally:
            duration = int((time.monotonic() - begun) * 1000)
            log.info(
                "tool call",
                extra={"agent": self._agent, "tool": name, "outcome": outcome, "duration_ms": duration},
            )
            await meter(name, duration)
