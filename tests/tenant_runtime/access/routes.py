"""What somebody else's request looks like on each route of the runtime: the table the three-people test walks.

A route of the application that is in none of these places fails the test: whoever adds one says here whose rows it
shows. A path that holds one of OWNED_IDS is filled with the owner's own id.
"""

from typing import Any, Final

from fastapi.routing import iter_route_contexts

from tenant_runtime.service.app import app_make

Place = tuple[str, str]

#: Path parameters that name somebody's row.
OWNED_IDS: Final = ("thread_id", "run_id", "checkpoint_id", "cron_id", "response_id", "id", "push_id")
RUN: Final = {"assistant_id": "slow", "input": {"steps": 1}}

#: Bodies for routes with an owned id in the path, where the empty object is no valid request.
BODIES: Final[dict[Place, Any]] = {
    ("POST", "/threads/{thread_id}/runs"): RUN,
    ("POST", "/threads/{thread_id}/runs/wait"): RUN,
    ("POST", "/threads/{thread_id}/runs/stream"): {**RUN, "if_not_exists": "create"},
    ("POST", "/threads/{thread_id}/state/checkpoint"): {"checkpoint": {"checkpoint_id": "{checkpoint_id}"}},
    ("POST", "/threads/{thread_id}/state"): {"values": {"count": 99}, "as_node": "step"},
    ("PATCH", "/threads/{thread_id}"): {"metadata": {"taken": True}},
    ("POST", "/threads/{thread_id}/runs/crons"): {**RUN, "schedule": "* * * * *"},
    ("POST", "/threads/{thread_id}/stream/events"): {"channels": ["values"]},
    ("POST", "/threads/{thread_id}/commands"): {"id": 1, "method": "run.start", "params": RUN},
    ("PATCH", "/runs/crons/{cron_id}"): {"schedule": "* * * * *"},
}

A2A_MESSAGE: Final = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}

#: Lists and counts: somebody else's answer holds nothing of the owner's.
LISTS: Final[dict[Place, Any]] = {
    ("POST", "/threads/search"): {"limit": 1000},
    ("POST", "/threads/count"): {"metadata": {"of": "{owner}"}},
    ("POST", "/runs/search"): {"metadata": {"of": "{owner}"}},
    ("POST", "/runs/crons/search"): {"metadata": {"of": "{owner}"}},
    ("POST", "/runs/crons/count"): {"metadata": {"of": "{owner}"}},
    ("POST", "/store/items/search"): {"namespace_prefix": ["{owner}"]},
    ("POST", "/store/namespaces"): {"prefix": ["{owner}"]},
}

#: Bodies that name the owner's rows where the path does not: each of them is 404. What is under `?` is the query.
NAMING: Final[dict[Place, list[Any]]] = {
    ("POST", "/threads"): [
        {"thread_id": "{thread_id}"},
        {"thread_id": "{thread_id}", "if_exists": "do_nothing"},
    ],
    ("POST", "/runs"): [
        {**RUN, "config": {"configurable": {"thread_id": "{thread_id}"}}},
        {**RUN, "checkpoint": {"thread_id": "{thread_id}", "checkpoint_id": "{checkpoint_id}"}},
        {**RUN, "metadata": {"thread_id": "{thread_id}"}},
    ],
    ("POST", "/v1/responses"): [
        {"model": "slow", "input": "hello", "previous_response_id": "{response_id}"},
        {"model": "slow", "input": "hello", "previous_response_id": "{response_id}", "stream": True},
    ],
    **{
        ("POST", f"{prefix}/message:{verb}"): [
            {"message": {**A2A_MESSAGE, "taskId": "{id}"}},
            {"message": {**A2A_MESSAGE, "contextId": "{thread_id}"}},
        ]
        for prefix in ("", "/a2a/{agent}")
        for verb in ("send", "stream")
    },
    ("POST", "/runs/wait"): [{**RUN, "config": {"configurable": {"thread_id": "{thread_id}"}}}],
    ("POST", "/runs/stream"): [{**RUN, "config": {"configurable": {"thread_id": "{thread_id}"}}}],
    ("POST", "/runs/batch"): [[{**RUN, "config": {"configurable": {"thread_id": "{thread_id}"}}}]],
    ("POST", "/threads/prune"): [
        {"thread_ids": ["{thread_id}"]},
        {"thread_ids": ["{thread_id}"], "strategy": "keep_latest"},
    ],
    ("POST", "/runs/crons"): [
        {**RUN, "schedule": "* * * * *", "config": {"configurable": {"thread_id": "{thread_id}"}}},
        {**RUN, "schedule": "* * * * *", "metadata": {"thread_id": "{thread_id}"}},
    ],
    ("GET", "/store/items"): [{"?": {"namespace": "{owner}.{thread_id}", "key": "note"}}],
    ("DELETE", "/store/items"): [{"namespace": ["{owner}", "{thread_id}"], "key": "note"}],
    ("POST", "/runs/cancel"): [
        {"thread_id": "{thread_id}"},
        {"run_ids": ["{run_id}"]},
        {"thread_id": "{thread_id}", "run_ids": ["{run_id}"]},
    ],
}

#: Nobody's rows, or none at all: who may use these is for access/rules.py alone.
NOBODYS: Final[set[Place]] = {
    ("GET", "/live"),
    ("GET", "/ready"),
    ("GET", "/ping"),
    ("GET", "/info"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("POST", "/documents"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    *(("GET", f"{prefix}/.well-known/agent-card.json") for prefix in ("", "/a2a/{agent}")),
    *(("GET", f"{prefix}/extendedAgentCard") for prefix in ("", "/a2a/{agent}")),
    # JSON-RPC, and 200 whatever it says: test_a2a.py and test_mcp.py in tests/tenant_runtime/doors/.
    ("POST", "/mcp"),
    ("POST", "/a2a/{agent}"),
    *(("GET", f"{prefix}/tasks") for prefix in ("", "/a2a/{agent}")),
    # Opened by a signature over the message, and its run is the trigger's: tests/tenant_runtime/test_triggers.py.
    ("POST", "/triggers/{name}"),
    # A header names the thread: test_three_people.py has a test of its own for it.
    ("POST", "/invocations"),
    # It makes a thread of its own, and no body names one.
    ("POST", "/v1/chat/completions"),
    # A write at somebody else's place makes an item of one's own: test_store.py.
    ("PUT", "/store/items"),
    ("POST", "/assistants"),
    ("PATCH", "/assistants/{assistant_id}"),
    ("DELETE", "/assistants/{assistant_id}"),
    ("POST", "/assistants/{assistant_id}/latest"),
    ("POST", "/agents/search"),
    ("GET", "/agents/{agent_id}"),
    ("GET", "/agents/{agent_id}/schemas"),
    ("POST", "/assistants/search"),
    ("POST", "/assistants/count"),
    ("GET", "/assistants/{assistant_id}"),
    ("POST", "/assistants/{assistant_id}/versions"),
    ("GET", "/assistants/{assistant_id}/graph"),
    ("GET", "/assistants/{assistant_id}/schemas"),
    ("GET", "/assistants/{assistant_id}/subgraphs"),
    ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"),
}


def routes() -> list[Place]:
    """Every method and path the application answers."""

    def never() -> Any:
        raise AssertionError("this application is only looked at")

    found = [(route.methods, route.path) for route in iter_route_contexts(app_make(never).routes)]
    # Starlette answers HEAD wherever it answers GET.
    return sorted(
        (method, str(path)) for methods, path in found for method in (methods or {"ANY"}) - {"HEAD"}
    )


def owned(path: str) -> bool:
    return any(f"{{{name}}}" in path for name in OWNED_IDS)


def filled(value: Any, ids: dict[str, str]) -> Any:
    """The value with every `{name}` replaced."""
    if isinstance(value, str):
        for name, found in ids.items():
            value = value.replace(f"{{{name}}}", found)
        return value
    if isinstance(value, dict):
        return {key: filled(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, ids) for item in value]
    return value
