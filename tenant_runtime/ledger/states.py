"""Words for what is known of a step, and the one decision about a step that was begun before. Pure."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

StepState = Literal["intent", "done", "failed", "unknown"]
StepKind = Literal["chat", "embed", "tool"]
Move = Literal["stored", "raise", "call", "ask"]

_NAMESPACE: Final = uuid.UUID("5d0a3a8e-6f0e-4d7c-9a55-0f6c7d1b9e42")


@dataclass(frozen=True)
class Call:
    """One call an agent asks for. `repeatable` says that making it twice does no harm: model calls, and tools
    declared idempotent or read-only. `afresh` says that a node's own retry wants a new answer."""

    kind: StepKind
    name: str
    arguments: Any
    repeatable: bool
    afresh: bool

    @cached_property
    def args_hash(self) -> bytes:
        text = json.dumps(self.arguments, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).digest()


def step_key(task: str, call: Call, *, attempt: int, nth: int) -> str:
    """The same for the same step on every replay: what is called counts, not the order among parallel calls."""
    retry = f"r{attempt}:" if call.afresh and attempt > 1 else ""
    return f"{task}:{retry}{call.kind}:{call.name[:64]}:{call.args_hash.hex()[:16]}:{nth}"


def idempotency_key(thread_id: uuid.UUID, key: str, *, tries: int = 1) -> uuid.UUID:
    """The key a tool passes on to whoever it calls. A failed call that is made again is another one."""
    return uuid.uuid5(_NAMESPACE, f"{thread_id}:{key}" + (f":{tries}" if tries > 1 else ""))


def next_move(state: StepState, *, repeatable: bool, failed_here: bool) -> Move:
    """What to do about a step that an earlier attempt began.

    `failed_here` says that this very attempt has seen the failure already, so it is asked for again on purpose.
    """
    if state == "done":
        return "stored"
    if state == "failed":
        return "call" if failed_here else "raise"
    return "call" if repeatable else "ask"
