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
EOF_EVENT: Final = "end"


def lost_detail(attempts: int) -> str:
    return (
        f"{attempts} workers in a row ended, or blocked for longer than their lease, while they executed this run; it "
        "is not tried again. Look into their logs for a crash, a lack of memory or blocking code. The thread is kept "
        "as of its last finished step; start a new run to go on."
    )
