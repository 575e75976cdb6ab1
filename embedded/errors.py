"""What can go wrong with an embedded server.

EmbeddedError
├── ProcessStartError     a program could not be started at all
├── ProcessStopError      a process outlived SIGKILL and the wait after it
├── FolderClosedError     the service user cannot reach a folder, and setpriv is missing
├── PortTakenError        another process listens on the port
├── ServerSetupError      initdb or a statement of the set-up failed
└── ServerNotReadyError   the server died or did not answer before its deadline
"""

from pathlib import Path

LOG_TAIL_LINES = 15


class EmbeddedError(Exception):
    """Base of this room. The text says what was wrong and what to do; it never holds a secret."""


class ProcessStartError(EmbeddedError):
    pass


class ProcessStopError(EmbeddedError):
    pass


class FolderClosedError(EmbeddedError):
    pass


class PortTakenError(EmbeddedError):
    pass


class ServerSetupError(EmbeddedError):
    pass


class ServerNotReadyError(EmbeddedError):
    pass


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented for an error text; says so when there is none."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - 16384))
            text = log.read().decode("utf-8", "replace")
    except OSError as error:
        return f"  (no log at {path}: {error.strerror})"
    tail = text.rstrip().splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in tail) or f"  (the log {path} is empty)"
