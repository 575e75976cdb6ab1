"""What clients of OpenAI send, and what an agent gets of it. What an agent cannot honour is refused by name."""

from typing import Any, Final, Literal

from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.doors.texts import content_text
from tenant_runtime.errors import Invalid

#: An agent brings its own tools, and answers once, in words.
_NOT_OURS: Final = ("tools", "functions", "function_call", "audio", "modalities", "prediction", "logprobs")


class StreamOptions(Body):
    include_usage: bool = False


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class _Answering(Body):
    """Members of both endpoints. Sampling parameters are the agent's own affair and are not looked at."""

    model: str
    stream: bool = False
    metadata: dict[str, Any] | None = None
    tools: list[Any] | None = None


class ChatRequest(_Answering):
    messages: list[ChatMessage] = Field(min_length=1, max_length=2000)
    stream_options: StreamOptions | None = None
    n: int | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    audio: Any = None
    modalities: list[str] | None = None
    prediction: Any = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None


class ResponseRequest(_Answering):
    """`input` None is allowed for a response that only continues `previous_response_id`."""

    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    store: bool | None = None
    text: dict[str, Any] | None = None


def chat_check(body: ChatRequest) -> None:
    """Raises Invalid for what would be silently missing from the answer."""
    for name in _NOT_OURS:
        if getattr(body, name, None) and not (name == "modalities" and body.modalities == ["text"]):
            raise _refused(name)
    if body.n not in (None, 1):
        raise _refused("n")
    if body.response_format and body.response_format.get("type") != "text":
        raise _refused("response_format")


def response_check(body: ResponseRequest) -> None:
    for name in ("tools", "conversation", "background"):
        if getattr(body, name):
            raise _refused(name)
    if body.text and (body.text.get("format") or {}).get("type", "text") != "text":
        raise _refused("text.format")
    if body.input is None and body.previous_response_id is None:
        raise Invalid("`input` is missing", code="missing_required_parameter")


def _refused(name: str) -> Invalid:
    return Invalid(
        f"`{name}` is not supported: an agent brings its own tools and answers once, in text",
        code="unsupported_parameter",
    )


def chat_messages(body: ChatRequest) -> list[dict[str, Any]]:
    return [_message(item.role, content_text(item.content)) for item in body.messages]


def response_messages(body: ResponseRequest) -> list[dict[str, Any]]:
    """Instructions first; items that are no messages (reasoning, calls) are the agent's own and not taken back."""
    found = [_message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return [*found, _message("user", body.input)]
    for item in body.input or []:
        if item.get("type", "message") == "message" and isinstance(item.get("role"), str):
            found.append(_message(item["role"], content_text(item.get("content"))))
    return found


def _message(role: str, text: str) -> dict[str, Any]:
    known = {"developer": "system", "function": "user", "tool": "user"}
    return {"role": known.get(role, role), "content": text}
