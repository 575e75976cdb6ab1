"""A run as a Response object, at every moment of its life."""

import uuid
from typing import Any

from tenant_runtime.doors.outcomes import Outcome, Usage
from tenant_runtime.errors import NotFound

Row = dict[str, Any]
_STATUS = {
    "pending": "queued", "running": "in_progress", "success": "completed", "error": "failed", "timeout": "failed",
    "interrupted": "cancelled",
}  # fmt: skip


def response_id(run_id: uuid.UUID) -> str:
    return f"resp_{run_id.hex}"


def response_run_id(given: str) -> uuid.UUID:
    """Raises NotFound for what cannot be an id of ours."""
    try:
        return uuid.UUID(hex=given.removeprefix("resp_"))
    except ValueError:
        raise NotFound(f"no response {given[:80]!r}", code="response_not_found") from None


def item_render(run_id: uuid.UUID, text: str, status: str) -> dict[str, Any]:
    """The one message a response holds."""
    return {
        "id": f"msg_{run_id.hex}", "type": "message", "role": "assistant", "status": status,
        "content": [part_render(text)] if text or status == "completed" else [],
    }  # fmt: skip


def part_render(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_render(row: Row, outcome: Outcome | None = None, usage: Usage | None = None) -> dict[str, Any]:
    """`outcome` and `usage` are for a run that is over. A run that waits for a person is completed: its text is the
    question, and its metadata says `input_required`."""
    asked = row["metadata"].get("openai") or {}
    error = outcome.error if outcome else None
    done = outcome is not None and error is None and not outcome.canceled
    metadata = dict(asked.get("metadata") or {})
    if outcome is not None and outcome.interrupts:
        metadata["input_required"] = "true"
    return {
        "id": response_id(row["run_id"]),
        "object": "response",
        "created_at": int(row["created_at"].timestamp()),
        "completed_at": int(row["ended_at"].timestamp()) if done and row["ended_at"] else None,
        "status": _STATUS[row["status"]]
        if outcome or row["status"] in ("pending", "running")
        else "in_progress",
        "background": False,
        "error": {"code": "server_error", "message": f"{error[0]}: {error[1]}"} if error else None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": metadata,
        "model": row["agent"],
        "output": [item_render(row["run_id"], outcome.text, "completed")] if outcome and done else [],
        "parallel_tool_calls": False,
        "previous_response_id": asked.get("previous_response_id"),
        "store": asked.get("store", True),
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": _usage(usage) if usage else None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
