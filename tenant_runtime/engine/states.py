"""Words for what a run is, written once. The database's CHECK constraints say the same."""

from typing import Final, Literal

RunStatus = Literal["pending", "running", "error", "success", "timeout", "interrupted"]
ThreadStatus = Literal["idle", "busy", "interrupted", "error"]
Strategy = Literal["reject", "enqueue", "interrupt", "rollback"]
CancelAction = Literal["interrupt", "rollback"]

ACTIVE: Final[tuple[RunStatus, ...]] = ("pending", "running")
TERMINAL: Final[tuple[RunStatus, ...]] = ("error", "success", "timeout", "interrupted")

#: What the usage event says of each end. A canceled run ends as `interrupted`, as SDK clients expect.
OUTCOME: Final[dict[str, str]] = {
    "success": "success",
    "error": "error",
    "timeout": "timeout",
    "interrupted": "canceled",
}

LOST_CODE: Final = "worker_lost"
LOST_DETAIL: Final = (
    "The process that executed this run ended before the run did (a crash or a restart). "
    "The thread is kept as of its last finished step; start a new run to go on."
)
EOF_EVENT: Final = "end"
