"""Wall-clock time in one place. Decisions take `now` as an argument; only edges call this."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)
