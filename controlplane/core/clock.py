"""Wall-clock time in one place. Decisions take `now` as an argument; only edges call this."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def moment_text(moment: datetime) -> str:
    """RFC 3339 in UTC with a `Z`, as every time on the wire."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_text_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)
