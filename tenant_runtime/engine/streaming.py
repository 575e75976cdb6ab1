"""Turns what a graph emits into the events SDK clients know, for the modes a run asked for."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message

Emit = Callable[[str, object], None]

#: SDK mode -> LangGraph mode. `events` comes from astream_events and has no mode of its own; the beginning and the end
#: of a run, its lifecycle, are in every stream.
GRAPH_MODE: Final[dict[str, str | None]] = {
    "values": "values", "updates": "updates", "custom": "custom", "debug": "debug", "tasks": "tasks",
    "checkpoints": "checkpoints", "messages": "messages", "messages-tuple": "messages", "events": None,
    "tools": "tools", "lifecycle": None,
}  # fmt: skip


def graph_modes(wanted: Iterable[str]) -> list[str]:
    """LangGraph modes to ask for; `values` always, because a run's result is its last values."""
    modes = {mode for name in wanted if (mode := GRAPH_MODE[name])}
    return sorted(modes | {"values"})


class StreamShaper:
    """One run's. Feed it every (namespace, mode, chunk); it emits what was asked for and keeps the last values."""

    def __init__(self, wanted: Iterable[str], emit: Emit) -> None:
        self._wanted, self._emit = set(wanted), emit
        self._messages: dict[str, BaseMessage] = {}
        self.values: Any = None

    def feed(self, namespace: tuple[str, ...], mode: str, chunk: Any) -> None:
        if mode == "values" and not namespace:
            self.values = chunk
        if mode == "messages":
            self._message(namespace, *chunk)
        elif mode in self._wanted:
            self._emit("|".join((mode, *namespace)), chunk)

    def _message(self, namespace: tuple[str, ...], message: BaseMessage, metadata: dict[str, Any]) -> None:
        tail = "".join(f"|{part}" for part in namespace)
        if "messages-tuple" in self._wanted:
            self._emit(f"messages{tail}", [message, metadata])
        if "messages" not in self._wanted:
            return
        key = message.id or ""
        known = self._messages.get(key)
        if known is None:
            self._emit(f"messages/metadata{tail}", {key: {"metadata": metadata}})
        if isinstance(message, AIMessageChunk):
            whole = known + message if isinstance(known, AIMessageChunk) else message
            self._messages[key] = whole
            self._emit(f"messages/partial{tail}", [message_chunk_to_message(whole)])
        else:
            self._messages[key] = message
            self._emit(f"messages/complete{tail}", [message])
