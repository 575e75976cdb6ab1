"""An invoice's states and moves, and those of a month's close. Pure data.

draft ──► finalized ──► paid
             │  ▲ └──► void
             ▼  │ (a payment after all)
       uncollectible ──► paid, void
"""

from typing import Final

DRAFT: Final = "draft"
FINALIZED: Final = "finalized"
PAID: Final = "paid"
VOID: Final = "void"
UNCOLLECTIBLE: Final = "uncollectible"
STATES: Final = (DRAFT, FINALIZED, PAID, VOID, UNCOLLECTIBLE)
#: Issued, and still to be paid.
OWED: Final = (FINALIZED, UNCOLLECTIBLE)
#: From which states each may be entered.
ALLOWED_FROM: Final[dict[str, tuple[str, ...]]] = {
    FINALIZED: (DRAFT,),
    PAID: OWED,
    VOID: OWED,
    UNCOLLECTIBLE: (FINALIZED,),
}
#: Issued ones: they have a number, and nothing but their state changes any more.
ISSUED: Final = (FINALIZED, PAID, UNCOLLECTIBLE)

#: `regular`: a month's; `correction`: late usage of closed months, issued at once.
REGULAR: Final = "regular"
CORRECTION: Final = "correction"
INVOICE_KINDS: Final = (REGULAR, CORRECTION)

LINE_KINDS: Final = (
    "base_fee", "one_off", "usage", "minimum", "maximum", "discount", "trial", "commitment", "correction", "tax",
)  # fmt: skip

#: Of a settlement of late usage: waits for the next invoice; is on an invoice; became a credit note; was replaced
#: before it was billed.
PENDING: Final = "pending"
INVOICED: Final = "invoiced"
CREDITED: Final = "credited"
DROPPED: Final = "dropped"
SETTLEMENT_STATES: Final = (PENDING, INVOICED, CREDITED, DROPPED)

#: Of a close: goes on until no tenant is pending; held tenants keep it `held`.
CLOSE_RUNNING: Final = "running"
CLOSE_HELD: Final = "held"
CLOSE_DONE: Final = "done"
CLOSE_STATES: Final = (CLOSE_RUNNING, CLOSE_HELD, CLOSE_DONE)

#: Of one tenant in a close. `released`: was held, and a person said why it may go on. `failed` is tried again.
TENANT_PENDING: Final = "pending"
TENANT_HELD: Final = "held"
TENANT_RELEASED: Final = "released"
TENANT_FAILED: Final = "failed"
TENANT_INVOICED: Final = "invoiced"
TENANT_SKIPPED: Final = "skipped"
TENANT_STATES: Final = (
    TENANT_PENDING, TENANT_HELD, TENANT_RELEASED, TENANT_FAILED, TENANT_INVOICED, TENANT_SKIPPED,
)  # fmt: skip
#: What a run of the close takes up.
TENANT_OPEN: Final = (TENANT_PENDING, TENANT_RELEASED, TENANT_FAILED)
