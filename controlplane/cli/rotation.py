"""Logs of services and tenants' servers, bounded in size: the supervisor copies a full one aside and empties it.

Their writers append through a descriptor of their own, so that a file cannot be moved away under them; what is
written between the copy and the emptying, a moment, is lost.
"""

import os
import shutil
from pathlib import Path

from controlplane.cli.home import Home

MAX_BYTES = 20_000_000
#: How many full ones are kept beside the newest: `NAME.log.1` is the youngest.
KEPT = 3


def logs_rotate(home: Home, *, max_bytes: int = MAX_BYTES) -> list[Path]:
    """Rotates every log that has grown beyond `max_bytes`; which."""
    logs = [*home.logs.glob("*.log"), *home.tenants.glob("*/*/server.log")]
    return [path for path in logs if _is_full(path, max_bytes) and _rotate(path)]


def _is_full(path: Path, max_bytes: int) -> bool:
    try:
        return path.stat().st_size > max_bytes
    except OSError:
        return False


def _rotate(path: Path) -> bool:
    try:
        for number in range(KEPT - 1, 0, -1):
            older = _numbered(path, number)
            if older.exists():
                os.replace(older, _numbered(path, number + 1))
        # Whole under another name first: killed in between, nothing is lost but doubled.
        copy = path.with_name(f".{path.name}.copy")
        copy.touch(mode=0o600)
        copy.chmod(0o600)
        shutil.copyfile(path, copy)
        os.replace(copy, _numbered(path, 1))
        os.truncate(path, 0)
    except OSError:
        # A tenant's folder may go away meanwhile, and a full disk must not end the supervisor.
        return False
    return True


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
