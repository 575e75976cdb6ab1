"""Text in and out of an agent's state, for protocols that know only messages. Pure."""

import json
from typing import Any

from tenant_runtime.engine.serial import dumps

_AI = frozenset({"ai", "AIMessageChunk", "assistant"})


def content_text(content: Any) -> str:
    """The text of a message's content: a string, or a list of blocks of which the texts count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else part.get("text", "") for part in content if part]
    return "".join(part for part in parts if isinstance(part, str))


def message_text(message: Any) -> str | None:
    """What an agent says in a message; None for anybody else's."""
    if not isinstance(message, dict) or (message.get("type") or message.get("role")) not in _AI:
        return None
    return content_text(message.get("content"))


def answer_text(values: Any) -> str:
    """What an agent answers: its last message, else `answer` or `output` of its state, else the state as JSON."""
    if isinstance(values, dict):
        for message in reversed(values.get("messages") or []):
            if text := message_text(message):
                return text
        for name in ("answer", "output"):
            if (found := values.get(name)) not in (None, ""):
                return found if isinstance(found, str) else dumps(found)
    return dumps(values)


def question_text(interrupts: list[Any]) -> str:
    """What an interrupted run waits for, in words: the values it was interrupted with."""
    values = [item.get("value") if isinstance(item, dict) else item for item in interrupts]
    said = [
        value["question"] if isinstance(value, dict) and isinstance(value.get("question"), str) else value
        for value in values
    ]
    return "\n".join(item if isinstance(item, str) else dumps(item) for item in said)


def remainder(said: str, answer: str) -> str:
    """What is still to be said after `said`, so that a stream ends with the whole answer."""
    if said.endswith(answer):
        return ""
    if answer.startswith(said):
        return answer[len(said) :]
    return f"\n\n{answer}"


def resume_value(text: str) -> Any:
    """What a person's answer means to an interrupted agent: JSON objects and literals as such, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
