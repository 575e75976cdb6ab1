"""Times in a query string."""

from collections.abc import Mapping
from datetime import UTC, datetime

from controlplane.core.errors import ValidationFailed


def moment_asked(params: Mapping[str, str], name: str) -> datetime | None:
    """In UTC; None where it is not given. ValidationFailed naming it for anything but an RFC 3339 time."""
    raw = params.get(name)
    if raw is None:
        return None
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(raw.replace(" ", "+"))
        if moment.tzinfo is None:
            raise ValueError
        # Postgres refuses offsets that Python takes, such as +21:49.
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationFailed.of(name, "must be an RFC 3339 time with an offset") from None
