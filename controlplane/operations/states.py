"""Kinds, states and allowed moves of operations and their steps. Pure data, written once.

    queued ──► planning ──► applying ──► succeeded
      ▲ ▲         │   │        │
      │ │         │   └────────┴───► failed
      │ │         ▼                    │
      │ └── awaiting_approval          │
      │       (approve)                │
      └──────────── retry ◄────────────┴── canceled

A running operation whose worker died is queued again by the reaper (takeover).

Whatever has not ended may be canceled: at once while it waits, by its runner while it runs.
"""

from typing import Final

from contracts.engine import Action

# States, with their meaning.
QUEUED: Final = "queued"  # waits for its tenant's other operation, a free slot or a worker
PLANNING: Final = "planning"  # a runner computes the plan; nothing has changed yet
AWAITING_APPROVAL: Final = "awaiting_approval"  # a person must decide; no runner is alive
APPLYING: Final = "applying"  # a runner changes infrastructure
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELED: Final = "canceled"

STATES: Final = (QUEUED, PLANNING, AWAITING_APPROVAL, APPLYING, SUCCEEDED, FAILED, CANCELED)
RUNNING: Final = frozenset({PLANNING, APPLYING})
TERMINAL: Final = frozenset({SUCCEEDED, FAILED, CANCELED})
OPEN: Final = frozenset({QUEUED, PLANNING, AWAITING_APPROVAL, APPLYING})

ALLOWED_FROM: Final[dict[str, frozenset[str]]] = {
    QUEUED: frozenset({AWAITING_APPROVAL, FAILED, CANCELED}),
    PLANNING: frozenset({QUEUED}),
    AWAITING_APPROVAL: frozenset({PLANNING}),
    APPLYING: frozenset({PLANNING}),
    SUCCEEDED: frozenset({PLANNING, APPLYING}),
    FAILED: frozenset({PLANNING, APPLYING}),
    CANCELED: frozenset({QUEUED, PLANNING, AWAITING_APPROVAL, APPLYING}),
}

# Kinds.
PROVISION: Final = "provision"
UPDATE: Final = "update"
PREVIEW: Final = "preview"
REFRESH: Final = "refresh"
SUSPEND: Final = "suspend"
RESUME: Final = "resume"
ROTATE_CREDENTIALS: Final = "rotate_credentials"
UPGRADE: Final = "upgrade"
SNAPSHOT: Final = "snapshot"
RESTORE: Final = "restore"
DEPROVISION: Final = "deprovision"

KINDS: Final = (
    PROVISION,
    UPDATE,
    PREVIEW,
    REFRESH,
    SUSPEND,
    RESUME,
    ROTATE_CREDENTIALS,
    UPGRADE,
    SNAPSHOT,
    RESTORE,
    DEPROVISION,
)
ACTION_OF_KIND: Final[dict[str, Action]] = {
    PROVISION: "up",
    UPDATE: "up",
    PREVIEW: "preview",
    REFRESH: "refresh",
    SUSPEND: "up",
    RESUME: "up",
    ROTATE_CREDENTIALS: "up",
    UPGRADE: "up",
    SNAPSHOT: "data",
    RESTORE: "data",
    DEPROVISION: "destroy",
}

#: Kinds that look at what really exists before they plan: what died or was changed by hand is put right too.
REFRESHING: Final = frozenset({UPDATE, SUSPEND, RESUME, ROTATE_CREDENTIALS, UPGRADE})

# Steps, in the order an operation goes through them.
STEP_PLAN: Final = "plan"
STEP_APPLY: Final = "apply"
STEP_RECORD: Final = "record"
STEP_VERIFY: Final = "verify"
# Steps on data, by the names that the runner gives them.
STEP_CAPTURE: Final = "capture"
STEP_CHECK: Final = "check"
STEP_RESTORE: Final = "restore"
STEP_SETTLE: Final = "settle"
STEP_SNAPSHOT: Final = "snapshot"
DATA_STEPS: Final = frozenset({STEP_CAPTURE, STEP_CHECK, STEP_RESTORE, STEP_SETTLE, STEP_SNAPSHOT})
STEPS_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    PROVISION: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    UPDATE: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    PREVIEW: (STEP_PLAN,),
    REFRESH: (STEP_APPLY, STEP_RECORD),
    SUSPEND: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    RESUME: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    ROTATE_CREDENTIALS: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    UPGRADE: (STEP_PLAN, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
    SNAPSHOT: (STEP_CAPTURE, STEP_CHECK),
    RESTORE: (STEP_CHECK, STEP_RESTORE, STEP_VERIFY),
    DEPROVISION: (STEP_PLAN, STEP_SETTLE, STEP_SNAPSHOT, STEP_APPLY, STEP_RECORD, STEP_VERIFY),
}
#: An operation whose first step is one of these decides after it, with a plan at hand, whether to go on.
PLANNING_STEPS: Final = frozenset({STEP_PLAN, STEP_CHECK})
#: Kinds that leave the stack's resources, outputs and spans as they are.
STACK_UNTOUCHED: Final = frozenset({PREVIEW, SNAPSHOT, RESTORE})

STEP_PENDING: Final = "pending"
STEP_RUNNING: Final = "running"
STEP_SUCCEEDED: Final = "succeeded"
STEP_FAILED: Final = "failed"
STEP_SKIPPED: Final = "skipped"
STEP_STATES: Final = (STEP_PENDING, STEP_RUNNING, STEP_SUCCEEDED, STEP_FAILED, STEP_SKIPPED)

# Priority classes: a smaller number goes first.
PRIORITY_PERSON: Final = 10
PRIORITY_ROLLOUT: Final = 20
PRIORITY_POOL: Final = 30
PRIORITY_BACKGROUND: Final = 40
