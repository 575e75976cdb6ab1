"""How states look: a tone (colour) and an icon for each word of tenants/states.py and operations/states.py.

In English the words are those of the API, the webhooks and the command line; a badge's tooltip keeps them in every
language. Unknown is grey: it is not a failure.
"""

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext, gettext_noop, pgettext

from billing.invoicing import states as invoice_states
from controlplane.operations import states as operation_states
from controlplane.tenants import runtime_activity as runs
from controlplane.tenants import states as tenant_states
from controlplane.tenants.snapshots import states as snapshot_states


@dataclass(frozen=True)
class Look:
    tone: str
    icon: str
    spins: bool = False


_OK: Final = Look("ok", "circle-check")
_BUSY: Final = Look("busy", "loader-circle", spins=True)
_BAD: Final = Look("bad", "circle-x")
_WAITS: Final = Look("idle", "clock")
_UNKNOWN: Final = Look("idle", "circle-dashed")

LIFECYCLE: Final[dict[str, Look]] = {
    tenant_states.REQUESTED: _WAITS,
    tenant_states.PROVISIONING: _BUSY,
    tenant_states.ACTIVE: _OK,
    tenant_states.SUSPENDED: Look("warn", "circle-pause"),
    tenant_states.DEPROVISIONING: _BUSY,
    tenant_states.DEPROVISIONED: Look("idle", "circle-minus"),
    tenant_states.FAILED: _BAD,
}
HEALTH: Final[dict[str, Look]] = {
    tenant_states.HEALTHY: Look("ok", "heart-pulse"),
    tenant_states.PROGRESSING: _BUSY,
    tenant_states.DEGRADED: Look("warn", "triangle-alert"),
    tenant_states.UNHEALTHY: _BAD,
    tenant_states.UNKNOWN: _UNKNOWN,
}
BILLING: Final[dict[str, Look]] = {
    tenant_states.CURRENT: Look("ok", "receipt-text"),
    tenant_states.PAST_DUE: Look("bad", "receipt-text"),
    tenant_states.CAPPED: Look("warn", "receipt-text"),
}
OPERATION: Final[dict[str, Look]] = {
    operation_states.QUEUED: _WAITS,
    operation_states.PLANNING: _BUSY,
    operation_states.AWAITING_APPROVAL: Look("warn", "circle-pause"),
    operation_states.APPLYING: _BUSY,
    operation_states.SUCCEEDED: _OK,
    operation_states.FAILED: _BAD,
    operation_states.CANCELED: Look("idle", "ban"),
}
STEP: Final[dict[str, Look]] = {
    operation_states.STEP_PENDING: _UNKNOWN,
    operation_states.STEP_RUNNING: _BUSY,
    operation_states.STEP_SUCCEEDED: _OK,
    operation_states.STEP_FAILED: _BAD,
    operation_states.STEP_SKIPPED: Look("idle", "circle-minus"),
}
RESOURCE: Final[dict[str, Look]] = {
    "planned": _UNKNOWN,
    "started": _BUSY,
    "done": _OK,
    "failed": _BAD,
}
SNAPSHOT: Final[dict[str, Look]] = {
    snapshot_states.CREATING: _BUSY,
    snapshot_states.COMPLETE: _OK,
    snapshot_states.FAILED: _BAD,
    snapshot_states.DELETED: Look("idle", "circle-minus"),
    snapshot_states.EXPIRED: Look("idle", "circle-minus"),
}
INVOICE: Final[dict[str, Look]] = {
    invoice_states.DRAFT: Look("idle", "pencil"),
    invoice_states.FINALIZED: Look("busy", "file-text"),
    invoice_states.PAID: _OK,
    invoice_states.VOID: Look("idle", "ban"),
    invoice_states.UNCOLLECTIBLE: Look("bad", "circle-minus"),
}
#: Of an agent's run in a runtime. A canceled one is `interrupted`, as SDK clients know it.
RUN: Final[dict[str, Look]] = {
    runs.PENDING: _WAITS,
    runs.RUNNING: _BUSY,
    runs.SUCCESS: _OK,
    runs.ERROR: _BAD,
    runs.TIMEOUT: Look("bad", "clock"),
    runs.INTERRUPTED: Look("idle", "ban"),
}
CALL: Final[dict[str, Look]] = {
    "done": _OK,
    "failed": _BAD,
    "intent": _UNKNOWN,
    "unknown": Look("warn", "info"),
}
#: What a budget's status is (billing/budgets/selectors.py: budget_status).
BUDGET: Final[dict[str, Look]] = {
    "pending": _WAITS,
    "unknown": Look("warn", "triangle-alert"),
    "ok": _OK,
    "reached": Look("warn", "triangle-alert"),
    "exceeded": _BAD,
}
#: billing/ledger/grants.py: grant_state.
CREDIT: Final[dict[str, Look]] = {
    "scheduled": _WAITS,
    "active": _OK,
    "used": Look("idle", "circle-minus"),
    "expired": Look("idle", "circle-minus"),
    "voided": Look("idle", "ban"),
}
LOOKS: Final[dict[str, dict[str, Look]]] = {
    "lifecycle": LIFECYCLE,
    "health": HEALTH,
    "billing": BILLING,
    "operation": OPERATION,
    "step": STEP,
    "resource": RESOURCE,
    "snapshot": SNAPSHOT,
    "invoice": INVOICE,
    "run": RUN,
    "call": CALL,
    "budget": BUDGET,
    "credit": CREDIT,
}

#: What a kind of operation is called where it is a title.
KIND_TITLES: Final[dict[str, str]] = {
    operation_states.PROVISION: gettext_noop("Provision"),
    operation_states.UPDATE: gettext_noop("Update"),
    operation_states.PREVIEW: gettext_noop("Preview"),
    operation_states.REFRESH: gettext_noop("Refresh"),
    operation_states.SUSPEND: gettext_noop("Suspend"),
    operation_states.RESUME: gettext_noop("Resume"),
    operation_states.ROTATE_CREDENTIALS: gettext_noop("Rotate credentials"),
    operation_states.UPGRADE: gettext_noop("Upgrade"),
    operation_states.SNAPSHOT: gettext_noop("Snapshot"),
    operation_states.RESTORE: gettext_noop("Restore"),
    operation_states.DEPROVISION: gettext_noop("Delete"),
}
STEP_TITLES: Final[dict[str, str]] = {
    operation_states.STEP_PLAN: gettext_noop("Plan the change"),
    operation_states.STEP_APPLY: gettext_noop("Apply it"),
    operation_states.STEP_RECORD: gettext_noop("Record what exists"),
    operation_states.STEP_VERIFY: gettext_noop("Verify from outside"),
    operation_states.STEP_CAPTURE: gettext_noop("Capture the data"),
    operation_states.STEP_CHECK: gettext_noop("Check the snapshot"),
    operation_states.STEP_RESTORE: gettext_noop("Put the data in place"),
    operation_states.STEP_SETTLE: gettext_noop("End the runtime, deliver its usage"),
    operation_states.STEP_SNAPSHOT: gettext_noop("Take and try a final snapshot"),
}
#: kind of a component -> its icon
COMPONENT_ICONS: Final[dict[str, str]] = {
    "postgres": "database",
    "cache": "zap",
    "vector_store": "boxes",
    "gpu_pool": "cpu",
    "runtime": "brain-circuit",
}


def look_of(axis: str, word: str) -> Look:
    return LOOKS[axis].get(word, _UNKNOWN)


def word_text(word: str) -> str:
    """`awaiting_approval` as `awaiting approval`, in the page's language where spoken.py knows the word."""
    return pgettext("word", word.replace("_", " "))


def kind_text(kind: str) -> str:
    return gettext(KIND_TITLES[kind]) if kind in KIND_TITLES else word_text(kind).capitalize()


def step_text(name: str) -> str:
    return gettext(STEP_TITLES[name]) if name in STEP_TITLES else word_text(name).capitalize()
