"""A run as callers ask for it, whichever door they come through."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from tenant_runtime.bodies import Body
from tenant_runtime.engine.states import Strategy

StreamMode = Literal[
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "events",
    "custom",
    "debug",
    "tasks",
    "checkpoints",
    "tools",
    "lifecycle",
]


class CommandIn(Body):
    update: dict[str, Any] | list[Any] | None = None
    resume: Any = None
    goto: Any = None


class RunRequest(Body):
    assistant_id: Annotated[str, Field(validation_alias=AliasChoices("assistant_id", "agent_id"))]
    """The Agent Protocol calls it `agent_id`."""
    input: Any = None
    command: CommandIn | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}
    stream_mode: StreamMode | list[StreamMode] = "values"
    stream_subgraphs: bool = False
    stream_resumable: bool = True
    """Taken and without effect: every stream can be resumed."""
    durability: Literal["sync", "async", "exit"] = "sync"
    """Taken and without effect: every step is kept before the next one begins. So is `checkpoint_during`."""
    checkpoint_during: bool | None = None
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    checkpoint: dict[str, Any] | None = None
    checkpoint_id: str | None = None
    multitask_strategy: Strategy = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"
    after_seconds: Annotated[float, Field(ge=0, le=30 * 86400)] = 0
    webhook: str | None = None
