"""Agents that are started, and agents that start others, for tests."""

from typing import Any

from tenant_runtime.agents.context import current


async def note(payload: dict[str, Any]) -> dict[str, Any]:
    return {"noted": payload}


async def chain(payload: dict[str, Any]) -> dict[str, Any]:
    run_id = await current().start("note", {"input": {"from": "chain"}}, thread=payload.get("thread"))
    again = await current().start(payload.get("next", "note"), {"input": {"from": "chain", "n": 2}})
    return {"started": [run_id, again]}


async def loop(payload: dict[str, Any]) -> dict[str, Any]:
    # By the assistant's id: whatever it is called by, it is the same agent.
    return {"started": await current().start("chain", {"input": {"next": payload["self"]}})}
