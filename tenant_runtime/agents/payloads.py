"""What a message from outside becomes as an agent's input, where nobody says otherwise."""

from typing import Any

from tenant_runtime.agents.loading import LoadedAgent


def payload_input(agent: LoadedAgent, payload: Any) -> Any:
    """`{"prompt": ...}` becomes a user message for agents that talk; a callable gets the payload as it is."""
    if agent.entry.adapter == "callable":
        return {"input": payload}
    if isinstance(payload, dict) and isinstance(payload.get("prompt"), str) and "messages" not in payload:
        rest = {name: value for name, value in payload.items() if name != "prompt"}
        return {**rest, "messages": [{"role": "user", "content": payload["prompt"]}]}
    return payload
