"""What an agent gets of a message, and what a message says of a run. Pure."""

from typing import Any

from a2a.helpers.proto_helpers import get_data_parts
from a2a.types import Message, Part, Role, TaskState
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError

from tenant_runtime.doors.texts import content_text, resume_value
from tenant_runtime.engine.serial import dumps

Row = dict[str, Any]

_STATES = {
    "pending": TaskState.TASK_STATE_SUBMITTED,
    "running": TaskState.TASK_STATE_WORKING,
    "success": TaskState.TASK_STATE_COMPLETED,
    "error": TaskState.TASK_STATE_FAILED,
    "timeout": TaskState.TASK_STATE_FAILED,
    "interrupted": TaskState.TASK_STATE_CANCELED,
}


def task_state(status: str, *, waiting: bool) -> TaskState:
    """`waiting`: the run is over, and its thread waits for a person."""
    return TaskState.TASK_STATE_INPUT_REQUIRED if waiting else _STATES[status]


def _read(message: Message) -> tuple[str, dict[str, Any] | None]:
    """The text of all parts, and the object of its data part. Raises for parts no agent here takes."""
    if not message.parts:
        raise InvalidParamsError("the message has no parts")
    texts: list[str] = []
    data: dict[str, Any] | None = None
    for part in message.parts:
        if part.HasField("text"):
            texts.append(part.text)
        elif part.HasField("data"):
            (found,) = get_data_parts([part])
            if data is not None or not isinstance(found, dict):
                raise InvalidParamsError("wanted at most one data part, and an object in it")
            data = found
        else:
            raise ContentTypeNotSupportedError("parts are text or data here; files are not taken")
    return "\n".join(texts), data


def agent_input(message: Message) -> dict[str, Any]:
    """Text becomes a user's message; a data part becomes members of the agent's input."""
    text, data = _read(message)
    said = {"messages": [{"role": "user", "content": text}]} if text else {}
    return {**said, **(data or {})}


def agent_resume(message: Message) -> Any:
    """What the message answers to an agent that waits: its data, else its text."""
    text, data = _read(message)
    return data if data is not None else resume_value(text)


def user_message(row: Row, kwargs: Row, task_id: str) -> Message:
    """The message a run began with."""
    command = kwargs.get("command") or {}
    said = command.get("resume") if "resume" in command else kwargs.get("input")
    if isinstance(said, dict) and said.get("messages"):
        said = content_text(said["messages"][-1].get("content"))
    return Message(
        message_id=str((row["metadata"].get("a2a") or {}).get("message_id") or f"{row['run_id']}-user"),
        context_id=str(row["thread_id"]),
        task_id=task_id,
        role=Role.ROLE_USER,
        parts=[text_part(said if isinstance(said, str) else dumps(said))],
    )


def agent_message(row: Row, text: str, task_id: str) -> Message:
    return Message(
        message_id=f"{row['run_id']}-agent",
        context_id=str(row["thread_id"]),
        task_id=task_id,
        role=Role.ROLE_AGENT,
        parts=[text_part(text)],
    )


def text_part(text: str) -> Part:
    return Part(text=text, media_type="text/plain")
