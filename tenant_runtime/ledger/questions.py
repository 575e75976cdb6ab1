"""The question to a person when nobody can know whether a call took effect, and the answers it takes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from langgraph.types import interrupt

#: What a run may be resumed with.
RESUME_VALUES: Final = [{"outcome": "done", "result": {}}, {"outcome": "not_done"}]
WHY: Final = {
    "lost": "The call had begun when its worker was lost. Whether it took effect is not known.",
    "diverged": "The step was begun before with other arguments, and whether that call took effect may not be known. "
    "This call has not been made.",
}


@dataclass(frozen=True)
class Answer:
    """`result` is what the tool would have answered; for `not_done` it is None."""

    outcome: Literal["done", "not_done"]
    result: dict[str, Any] | None


def question(
    *, tool: str, arguments: Any, key: UUID, run_id: UUID, begun_at: datetime | None, why: str
) -> dict[str, Any]:
    """The interrupt's value. The arguments are shown: whoever may resume the run must know what was asked."""
    return {
        "type": "step_unknown",
        "tool": tool,
        "arguments": arguments,
        "idempotency_key": str(key),
        "run_id": str(run_id),
        "begun_at": None if begun_at is None else begun_at.isoformat(),
        "why": WHY[why],
        "resume_with": RESUME_VALUES,
    }


def answer_of(value: Any) -> Answer | None:
    """The answer in a resume value; None where it is none."""
    if not isinstance(value, dict):
        return None
    outcome, result = value.get("outcome"), value.get("result", {})
    if outcome == "done" and isinstance(result, dict):
        return Answer("done", result)
    return Answer("not_done", None) if outcome == "not_done" else None


def ask(asked: dict[str, Any], problem: str = "") -> Any:
    """Stops the run with the question, or gives what a person has answered at this place already."""
    return interrupt({**asked, "problem": problem} if problem else asked)
