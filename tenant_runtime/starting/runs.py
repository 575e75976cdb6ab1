"""The one way to a new run, for every door: HTTP routes, other protocols, schedules and triggers."""

import uuid
from typing import Any

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.assistants.directory import Assistant
from tenant_runtime.engine.runs import RunWanted
from tenant_runtime.engine.states import CancelAction
from tenant_runtime.runtime import Runtime
from tenant_runtime.starting.references import references_check
from tenant_runtime.starting.requests import RunRequest

Row = dict[str, Any]


async def run_start(
    runtime: Runtime,
    *,
    principal: Principal,
    assistant_ref: str,
    thread_id: uuid.UUID | None,
    request: RunRequest,
    run_id: uuid.UUID | None = None,
) -> Row:
    """The pending run, handed to the executor. Runs its strategy displaces are asked to end.

    `assistant_ref` is an assistant id or an agent's name and counts instead of the request's own `assistant_id`.
    thread_id None makes a thread for this run: gone after it, or kept where the request says so. With a `run_id`
    the run begins once, however often it is asked for: Conflict `run_exists` after the first. Raises NotFound for
    an assistant or a thread that is not there, Conflict for a busy thread under `reject`, Invalid for a webhook
    that could not be posted to, Paused while no new work is taken.
    """
    owner = owner_filter(principal)
    assistant = await runtime.assistants.find(assistant_ref)
    if request.webhook:
        runtime.webhooks.check(request.webhook)
    wanted = _wanted(request, principal, assistant, run_id)
    await references_check(
        runtime, owner=owner, thread_id=thread_id, config=request.config, checkpoint=request.checkpoint,
        metadata=request.metadata, checkpoint_id=wanted.kwargs["checkpoint_id"],
    )  # fmt: skip
    if thread_id is None and request.on_completion == "keep":
        made = await runtime.threads.create(thread_id=None, metadata={}, owner=principal.id)
        thread_id = made["thread_id"]
    elif thread_id is not None and request.if_not_exists == "create":
        await runtime.threads.create(
            thread_id=thread_id,
            metadata={},
            owner=principal.id,
            if_exists="do_nothing",
            foreign=owner is None,
        )
    run, displaced = await runtime.runs.create(wanted, thread_id=thread_id, owner=owner)
    for displaced_id in displaced:
        action: CancelAction = "rollback" if request.multitask_strategy == "rollback" else "interrupt"
        await runtime.run_cancel(displaced_id, action)
    runtime.executor.wake()
    return run


def _config(assistant: Row, asked: Row | None) -> Row:
    """The assistant's configuration with the caller's laid over it, `configurable` member by member."""
    merged = assistant | (asked or {})
    merged["configurable"] = {
        **(assistant.get("configurable") or {}), **((asked or {}).get("configurable") or {}),
    }  # fmt: skip
    merged["tags"] = [*(assistant.get("tags") or []), *((asked or {}).get("tags") or [])]
    return merged


def _wanted(
    request: RunRequest, principal: Principal, assistant: Assistant, run_id: uuid.UUID | None
) -> RunWanted:
    modes = request.stream_mode if isinstance(request.stream_mode, list) else [request.stream_mode]
    kwargs = request.model_dump(include={"input", "stream_subgraphs", "interrupt_before", "interrupt_after"})
    kwargs["config"] = _config(assistant.row["config"], request.config)
    context = assistant.row["context"] | (request.context or {})
    # An agent without a context schema takes None and nothing else.
    kwargs["context"] = context or None
    kwargs["command"] = request.command.model_dump(exclude_unset=True) if request.command else None
    kwargs["stream_mode"] = modes
    kwargs["checkpoint_id"] = request.checkpoint_id or (request.checkpoint or {}).get("checkpoint_id")
    return RunWanted(
        agent=assistant.agent.entry.name, assistant_id=assistant.id, principal=principal.id, kwargs=kwargs,
        metadata=request.metadata, strategy=request.multitask_strategy, delay_s=request.after_seconds,
        webhook=request.webhook, run_id=run_id,
    )  # fmt: skip
