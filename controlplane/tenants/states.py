"""The three axes of a tenant, never mixed into one word (design.md section 3). Pure data.

    requested ──► provisioning ──► active ──► deprovisioning ──► deprovisioned
                    ▲      │                  (stays until nothing is left)
              retry │      ▼
                    └─── failed

Whatever has not been deprovisioned may be deleted.
"""

from typing import Final

# lifecycle
REQUESTED: Final = "requested"
PROVISIONING: Final = "provisioning"
ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
DEPROVISIONING: Final = "deprovisioning"
DEPROVISIONED: Final = "deprovisioned"
FAILED: Final = "failed"
LIFECYCLES: Final = (REQUESTED, PROVISIONING, ACTIVE, SUSPENDED, DEPROVISIONING, DEPROVISIONED, FAILED)

# health: unknown is never failure
HEALTHY: Final = "healthy"
PROGRESSING: Final = "progressing"
DEGRADED: Final = "degraded"
UNHEALTHY: Final = "unhealthy"
UNKNOWN: Final = "unknown"
HEALTHS: Final = (HEALTHY, PROGRESSING, DEGRADED, UNHEALTHY, UNKNOWN)

# billing standing
CURRENT: Final = "current"
PAST_DUE: Final = "past_due"
CAPPED: Final = "capped"
STANDINGS: Final = (CURRENT, PAST_DUE, CAPPED)

_STARTED = "started"
_SUCCEEDED = "succeeded"
_FAILED = "failed"
_CANCELED = "canceled"

#: (operation kind, what happened) -> (lifecycles it applies to, the lifecycle that follows)
_MOVES: Final[dict[tuple[str, str], tuple[frozenset[str], str]]] = {
    ("provision", _STARTED): (frozenset({REQUESTED, FAILED}), PROVISIONING),
    ("provision", _SUCCEEDED): (frozenset({PROVISIONING}), ACTIVE),
    ("provision", _FAILED): (frozenset({REQUESTED, PROVISIONING}), FAILED),
    ("provision", _CANCELED): (frozenset({REQUESTED, PROVISIONING}), FAILED),
    ("update", _SUCCEEDED): (frozenset({FAILED}), ACTIVE),
    # One that fails or is canceled stays `deprovisioning`: a tenant half taken apart is nothing else.
    ("deprovision", _STARTED): (frozenset({REQUESTED, ACTIVE, SUSPENDED, FAILED}), DEPROVISIONING),
    ("deprovision", _SUCCEEDED): (frozenset({DEPROVISIONING}), DEPROVISIONED),
}

#: Which lifecycles accept which kind of request.
ACCEPTS: Final[dict[str, frozenset[str]]] = {
    "update": frozenset({ACTIVE, FAILED}),
    "preview": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "refresh": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "deprovision": frozenset({REQUESTED, ACTIVE, SUSPENDED, FAILED, DEPROVISIONING}),
}


def next_lifecycle(lifecycle: str, *, kind: str, happened: str) -> str | None:
    """Where a tenant goes when its operation of `kind` started, succeeded, failed or was canceled; None: stays."""
    move = _MOVES.get((kind, happened))
    if move is None or lifecycle not in move[0]:
        return None
    return move[1]
