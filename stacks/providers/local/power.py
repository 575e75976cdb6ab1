"""Since when a unit runs, or since when it does not: what is billed follows the machine's own note.

The note changes only when the unit is switched on or off, so a restart, a boot or a repeated attempt leaves the
moment as it was. It is written right after the change: a crash between the two costs no more than that gap.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from embedded.processes import file_write_private

POWER_FILE = "power.json"


def power_note(folder: Path, *, on: bool) -> None:
    """Note the moment, unless the unit was noted so before."""
    known = _read(folder)
    if known is None or known[0] is not on:
        body = {"on": on, "since": datetime.now(UTC).isoformat()}
        file_write_private(folder / POWER_FILE, json.dumps(body))


def power_since(folder: Path) -> str | None:
    """The moment in ISO 8601, UTC; None when nothing was noted, or a crash left it unreadable."""
    known = _read(folder)
    return None if known is None else known[1]


def _read(folder: Path) -> tuple[bool, str] | None:
    try:
        body = json.loads((folder / POWER_FILE).read_text())
        return bool(body["on"]), datetime.fromisoformat(body["since"]).isoformat()
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
