"""The three axes of a tenant, never mixed into one word (design.md section 3). Pure data.

                              resume
                           ┌──────────── suspended
                           ▼   suspend ────►┘
    requested ──► provisioning ──► active ──► deprovisioning ──► deprovisioned
                    ▲      │                  (stays until nothing is left)
              retry │      ▼
                    └─── failed ──► active, suspended (update, upgrade, resume, suspend)

A suspend or resume that ended halfway leaves `failed`: whether the runtime runs is then not known, and each of the
two, or an update, leads on. One that had changed nothing yet leaves everything as it was.
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
_APPLYING = "applying"
_SUCCEEDED = "succeeded"
_FAILED = "failed"
_CANCELED = "canceled"
#: Failed or canceled after the first change may have been made.
HALFWAY: Final = "halfway"

#: (operation kind, what happened) -> (lifecycles it applies to, the lifecycle that follows)
_MOVES: Final[dict[tuple[str, str], tuple[frozenset[str], str]]] = {
    ("provision", _STARTED): (frozenset({REQUESTED, FAILED}), PROVISIONING),
    ("provision", _SUCCEEDED): (frozenset({PROVISIONING}), ACTIVE),
    ("provision", _FAILED): (frozenset({REQUESTED, PROVISIONING}), FAILED),
    ("provision", _CANCELED): (frozenset({REQUESTED, PROVISIONING}), FAILED),
    ("update", _SUCCEEDED): (frozenset({FAILED}), ACTIVE),
    ("upgrade", _SUCCEEDED): (frozenset({FAILED}), ACTIVE),
    ("suspend", _SUCCEEDED): (frozenset({ACTIVE, FAILED}), SUSPENDED),
    ("suspend", HALFWAY): (frozenset({ACTIVE}), FAILED),
    ("resume", _SUCCEEDED): (frozenset({SUSPENDED, FAILED}), ACTIVE),
    ("resume", HALFWAY): (frozenset({SUSPENDED}), FAILED),
    # One that fails or is canceled stays `deprovisioning`: a tenant half taken apart is nothing else.
    # Once its destruction begins, not while it is planned and agreed to: until then it lives as before.
    ("deprovision", _APPLYING): (frozenset({REQUESTED, ACTIVE, SUSPENDED, FAILED}), DEPROVISIONING),
    ("deprovision", _SUCCEEDED): (frozenset({DEPROVISIONING}), DEPROVISIONED),
}

#: Which lifecycles accept which kind of request.
ACCEPTS: Final[dict[str, frozenset[str]]] = {
    # An update or upgrade of a suspended tenant leaves it suspended.
    "update": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "upgrade": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "suspend": frozenset({ACTIVE, FAILED}),
    "resume": frozenset({SUSPENDED, FAILED}),
    # The runtime must be there to take them.
    "rotate_credentials": frozenset({ACTIVE}),
    "preview": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "refresh": frozenset({ACTIVE, FAILED, SUSPENDED}),
    "snapshot": frozenset({ACTIVE, SUSPENDED}),
    "restore": frozenset({ACTIVE}),
    "deprovision": frozenset({REQUESTED, ACTIVE, SUSPENDED, FAILED, DEPROVISIONING}),
}


def next_lifecycle(lifecycle: str, *, kind: str, happened: str, halfway: bool = False) -> str | None:
    """Where a tenant goes when its operation of `kind` started, succeeded, failed or was canceled; None: stays.

    `halfway` says of a failed or canceled one that it may have changed something before it ended.
    """
    moves = [_MOVES.get((kind, happened)), _MOVES.get((kind, HALFWAY)) if halfway else None]
    return next((move[1] for move in moves if move is not None and lifecycle in move[0]), None)


def power_off(lifecycle: str, *, kind: str) -> bool:
    """Whether a tenant in this lifecycle rests after an operation of `kind`: only a resume ends a suspension."""
    return kind == "suspend" or (lifecycle == SUSPENDED and kind != "resume")


#: The verb that asks for an operation on a tenant's stack, in paths and on buttons -> the operation's kind.
VERBS = {
    "preview": "preview",
    "update": "update",
    "refresh": "refresh",
    "suspend": "suspend",
    "resume": "resume",
    "rotate-credentials": "rotate_credentials",
    "upgrade": "upgrade",
}

#: What became of one tenant of a request for several: not asked yet, an operation queued, a field changed, nothing to
#: change, or refused.
BULK_WAITING: Final = "waiting"
BULK_QUEUED: Final = "queued"
BULK_CHANGED: Final = "changed"
BULK_UNCHANGED: Final = "unchanged"
BULK_REFUSED: Final = "refused"
BULK_STATES: Final = (BULK_WAITING, BULK_QUEUED, BULK_CHANGED, BULK_UNCHANGED, BULK_REFUSED)
