"""Turns the log of one run into protocol events. The same log gives the same events with the same numbers."""

from collections.abc import Iterator
from typing import Any, Final

Row = dict[str, Any]
Event = dict[str, Any]
#: Room for the events of one run in a number: run, log event, and what one log event turns into.
_PER_LOG_EVENT: Final = 32
_PER_RUN: Final = 2**19 * _PER_LOG_EVENT
_ROLES: Final = {"ai": "ai", "AIMessageChunk": "ai", "human": "human", "system": "system"}
_STATUS: Final = {"success": "completed", "error": "failed", "timeout": "failed", "interrupted": "failed"}
#: What a run that is begun by the protocol streams into its log.
MODES: Final = ("values", "updates", "messages-tuple", "custom", "tasks", "checkpoints", "tools")


def run_of(number: int) -> int:
    """The `seq` of the run whose event has this number."""
    return number // _PER_RUN


class Translation:
    """One run's. Feed it every log event in order, from the run's first."""

    def __init__(self, *, run_id: str, run_seq: int) -> None:
        self._run_id, self._first = run_id, run_seq * _PER_RUN
        self._open: dict[tuple[tuple[str, ...], str], int] = {}
        self._asked: dict[str, tuple[list[str], Row]] = {}
        self._error: str | None = None

    def feed(self, seq: int, name: str, data: Any, *, at_ms: int) -> list[Event]:
        mode, *namespace = name.split("|")
        events = []
        for part, (method, where, payload) in enumerate(self._parts(mode, namespace, data)):
            number = self._first + seq * _PER_LOG_EVENT + min(part, _PER_LOG_EVENT - 1)
            events.append(
                {
                    "type": "event",
                    "event_id": f"{self._run_id}:{seq}:{part}",
                    "seq": number,
                    "method": method,
                    "params": {"namespace": where, "timestamp": at_ms, "data": payload},
                }
            )
        return events

    def _parts(self, mode: str, ns: list[str], data: Any) -> Iterator[tuple[str, list[str], Any]]:
        match mode:
            case "metadata":
                yield "lifecycle", [], {"event": "running", "run_id": self._run_id}
            case "values":
                values = data
                if isinstance(data, dict):
                    values = {name: value for name, value in data.items() if name != "__interrupt__"}
                yield "values", ns, values
            case "updates":
                yield from self._finish_open(tuple(ns))
                yield "updates", ns, data
            case "messages":
                yield from self._message(ns, *data)
            case "custom":
                yield "custom", ns, _custom(data)
            case "tools":
                yield "tools", ns, data
            case "tasks":
                yield "tasks", ns, data
                self._requests(ns, data)
            case "checkpoints":
                yield "checkpoints", ns, _checkpoint(data)
            case "error":
                self._error = f"{data.get('error')}: {data.get('message')}"
            case "end":
                yield from self._end(data)

    def _requests(self, ns: list[str], data: Row) -> None:
        """Keeps interrupts for the run's end: before it an answer would find nothing to answer. The innermost task
        tells one first; the tasks around it repeat it."""
        for interrupt in data.get("interrupts") or []:
            asked = {
                "interrupt_id": interrupt["id"],
                "value": interrupt["value"],
                "payload": interrupt["value"],
            }
            self._asked.setdefault(interrupt["id"], (ns, asked))

    def _end(self, data: Row) -> Iterator[tuple[str, list[str], Any]]:
        for namespace, _ in list(self._open):
            yield from self._finish_open(namespace)
        event = _STATUS.get(data.get("status", ""), "failed")
        if event == "completed" and self._asked:
            event = "interrupted"
            for ns, asked in self._asked.values():
                yield "input.requested", ns, asked
        payload: Row = {"event": event, "run_id": self._run_id}
        if event == "failed":
            payload["error"] = self._error or "the run was canceled"
        yield "lifecycle", [], payload

    def _message(self, ns: list[str], message: Row, metadata: Row) -> Iterator[tuple[str, list[str], Any]]:
        role = _ROLES.get(message.get("type", ""))
        if role is None:
            return
        id_ = str(message.get("id") or "")
        key = (tuple(ns), id_)
        base = {"message_id": id_}
        if key not in self._open:
            shown = {"langgraph_node": metadata.get("langgraph_node"), "run_id": self._run_id}
            yield "messages", ns, {"event": "message-start", "role": role, "id": id_, "metadata": shown}
            empty = {"type": "text", "text": ""}
            yield "messages", ns, base | {"event": "content-block-start", "index": 0, "content": empty}
            self._open[key] = 0
        text = _text(message.get("content"))
        if text:
            delta = {"type": "text-delta", "text": text}
            yield "messages", ns, base | {"event": "content-block-delta", "index": 0, "delta": delta}
        whole = message.get("type") != "AIMessageChunk" or message.get("chunk_position") == "last"
        if whole:
            yield from self._finish(
                ns, key, message, text if message.get("type") != "AIMessageChunk" else None
            )

    def _finish_open(self, namespace: tuple[str, ...]) -> Iterator[tuple[str, list[str], Any]]:
        """Ends messages whose last piece did not say that it was the last."""
        for key in [key for key in self._open if key[0] == namespace]:
            yield from self._finish(list(namespace), key, {}, None)

    def _finish(
        self, ns: list[str], key: tuple[tuple[str, ...], str], message: Row, text: str | None
    ) -> Iterator[tuple[str, list[str], Any]]:
        self._open.pop(key, None)
        base = {"message_id": key[1]}
        if text is not None:
            content = {"type": "text", "text": text}
            yield "messages", ns, base | {"event": "content-block-finish", "index": 0, "content": content}
        for index, call in enumerate(message.get("tool_calls") or [], start=1):
            content = {"type": "tool_call", "id": call.get("id"), "name": call["name"], "args": call["args"]}
            yield "messages", ns, base | {"event": "content-block-start", "index": index, "content": content}
            yield "messages", ns, base | {"event": "content-block-finish", "index": index, "content": content}
        finish: Row = base | {"event": "message-finish"}
        if usage := message.get("usage_metadata"):
            finish["usage"] = usage
        yield "messages", ns, finish


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else str(part.get("text", "")) if isinstance(part, dict) else ""
            for part in content
        )
    return ""


def _custom(data: Any) -> Row:
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        return {"name": data["name"], "payload": data.get("payload", data)}
    return {"payload": data}


def _checkpoint(data: Row) -> Row:
    def id_of(config: Any) -> Any:
        return ((config or {}).get("configurable") or {}).get("checkpoint_id")

    metadata = data.get("metadata") or {}
    return data | {
        "id": id_of(data.get("config")),
        "parent_id": id_of(data.get("parent_config")),
        "step": metadata.get("step"),
        "source": metadata.get("source"),
    }
