"""A run that sleeps: its node is interrupted with the moment to wake it, and nobody but the engine answers.

As after any interrupt, the node begins again from its start when it is woken, and `sleep` then returns at once.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.types import interrupt

Row = dict[str, Any]
SLEEP: Final = "freehold.sleep"


def sleep_until(moment: datetime, *, run_id: str, place: str) -> None:
    """Leaves the worker until `moment`; returns once it has passed.

    `place` names this sleep within its run, the same on every replay of its node.
    """
    interrupt({"type": SLEEP, "run_id": run_id, "place": place, "wake_at": moment.isoformat()})


def sleeps_of(run_id: str, interrupts: Iterable[Any]) -> dict[str, Row]:
    """Those of a state's open interrupts that are sleeps of this run: interrupt id -> what `sleep_until` stored."""
    found = {}
    for item in interrupts:
        value = item.value
        if isinstance(value, dict) and value.get("type") == SLEEP and value.get("run_id") == run_id:
            found[item.id] = value
    return found


def first_wake(sleeps: dict[str, Row]) -> str:
    return min(str(value["wake_at"]) for value in sleeps.values())


def woken(sleeps: dict[str, Row], now: datetime) -> dict[str, Row]:
    """What to resume with: the sleeps that are over, by interrupt id. The rest goes on sleeping."""
    return {
        id_: {"type": SLEEP, "slept": id_}
        for id_, value in sleeps.items()
        if datetime.fromisoformat(value["wake_at"]) <= now
    }


def moment_of(until: datetime | None, seconds: float | None) -> datetime:
    """One of the two. ValueError for both, neither, or a moment without a time zone."""
    if (until is None) == (seconds is None):
        raise ValueError("sleep wants seconds or until, one of them")
    if until is None:
        assert seconds is not None
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + max(0.0, seconds), UTC)
    if until.tzinfo is None:
        raise ValueError("sleep wants a moment with a time zone")
    return until.astimezone(UTC)
