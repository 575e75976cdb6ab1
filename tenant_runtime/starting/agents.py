"""Runs that an agent starts: `current().start("other", {...})`. The same principal, and one run for one step."""

import uuid
from typing import Any

from tenant_runtime.access.principals import Principal
from tenant_runtime.errors import AgentFault, RequestRefused
from tenant_runtime.runtime import Runtime
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start
from tenant_runtime.triggers.descent import child_thread, descend
from tenant_runtime.triggers.starts import start_once


async def agent_start(
    runtime: Runtime, parent: dict[str, Any], key: uuid.UUID, agent: str, given: Any, thread: str | None
) -> dict[str, Any]:
    """Run and thread of the started run. `parent` is the row of the run that asks, `key` the same for the same step.

    AgentFault when the agent is not there, leads back to itself, is too deep, or may not run on that thread.
    """
    try:
        # By any of its names: an assistant's id leads to the same agent.
        found = await runtime.assistants.find(agent)
    except RequestRefused as refused:
        raise AgentFault(f"{agent[:80]}: {refused.detail}", code=f"start_{refused.code}") from refused
    metadata = descend(parent, found.agent.entry.name)
    thread_id = child_thread(thread)
    # Whatever role started the parent: what it starts sees the rows of its principal and no others.
    principal = Principal(parent["principal"], "user")

    async def start(more: dict[str, Any]) -> dict[str, Any]:
        request = RunRequest(
            assistant_id=agent, input=given, metadata={**metadata, **more}, if_not_exists="create",
            on_completion="keep",
        )  # fmt: skip
        return await run_start(
            runtime, principal=principal, assistant_ref=agent, thread_id=thread_id, request=request
        )

    try:
        async with runtime.once:
            started = await start_once(
                runtime.pool, source=f"thread:{parent['thread_id']}", key=str(key), start=start
            )
    except RequestRefused as refused:
        raise AgentFault(f"{agent}: {refused.detail}", code=f"start_{refused.code}") from refused
    return {"run_id": str(started.run_id), "thread_id": str(started.thread_id)}
