"""The chart of accounts: one literal table. docs/guides/ledger.md says which posting moves which account.

An amount is positive when it is debited and negative when it is credited, so that a transaction sums to zero. The
type says what a positive balance means: an asset or an expense grows by debits, a liability or revenue by credits.
"""

from dataclasses import dataclass
from typing import Final, Literal

AccountType = Literal["asset", "liability", "revenue", "expense", "memorandum"]


@dataclass(frozen=True)
class Account:
    key: str
    type: AccountType
    about: str


CUSTOMER_RECEIVABLE: Final = "customer_receivable"
CUSTOMER_ACCRUED: Final = "customer_accrued"
CASH: Final = "cash"
CREDIT_LIABILITY: Final = "credit_liability"
PROMOTIONAL_CREDITS: Final = "promotional_credits"
PROMOTIONAL_ISSUED: Final = "promotional_issued"
REFUND_PAYABLE: Final = "refund_payable"
TAX_PAYABLE: Final = "tax_payable"
REVENUE: Final = "revenue"
REVENUE_PROMOTION: Final = "revenue_promotion"
REVENUE_BREAKAGE: Final = "revenue_breakage"
BAD_DEBT: Final = "bad_debt"
COST_INFRASTRUCTURE_ESTIMATED: Final = "cost_infrastructure_estimated"
COST_INFRASTRUCTURE: Final = "cost_infrastructure"
COST_MODELS: Final = "cost_models"
COST_OVERHEAD: Final = "cost_overhead"
OVERHEAD_ALLOCATED: Final = "overhead_allocated"
COST_CLEARING: Final = "cost_clearing"

_ALL: Final = (
    Account(CUSTOMER_RECEIVABLE, "asset", "Invoiced and not settled yet; by invoice."),
    Account(CUSTOMER_ACCRUED, "asset", "Earned by usage and not invoiced yet."),
    Account(CASH, "asset", "Payments received, and refunds paid."),
    Account(CREDIT_LIABILITY, "liability", "Credits that were bought and not used yet; by grant."),
    Account(PROMOTIONAL_CREDITS, "liability", "Credits that were given and not used yet; by grant."),
    Account(
        PROMOTIONAL_ISSUED,
        "memorandum",
        "Stands against promotional_credits until they are used: a gift is nothing earned and nothing lost.",
    ),
    Account(REFUND_PAYABLE, "liability", "Owed back to the customer: credited beyond what was still open."),
    Account(TAX_PAYABLE, "liability", "Tax on invoices, owed to the tax office."),
    Account(REVENUE, "revenue", "Usage and fees, by the service period they were earned in."),
    Account(REVENUE_PROMOTION, "revenue", "What promotional credits took off invoices; reduces revenue."),
    Account(REVENUE_BREAKAGE, "revenue", "Bought credits that expired unused."),
    Account(BAD_DEBT, "expense", "Invoices given up as uncollectible, less what came in after all."),
    Account(
        COST_INFRASTRUCTURE_ESTIMATED,
        "expense",
        "The stack's priced cost by the day, until the cost feed says the actual one.",
    ),
    Account(COST_INFRASTRUCTURE, "expense", "What the cost feed says that the tenant's resources cost."),
    Account(COST_MODELS, "expense", "Tokens at the model vendor's prices."),
    Account(
        COST_OVERHEAD,
        "expense",
        "Cost that carries no tenant's tag: first in the fleet's own book, then each tenant's share of it.",
    ),
    Account(
        OVERHEAD_ALLOCATED,
        "memorandum",
        "Passes overhead from the fleet's book to the tenants'; sums to zero over all of them.",
    ),
    Account(COST_CLEARING, "liability", "Stands against every cost: what vendors are owed or were paid."),
)
ACCOUNTS: Final[dict[str, Account]] = {account.key: account for account in _ALL}
#: A grant's balance lies in the account of its source.
CREDIT_ACCOUNTS: Final = {"purchase": CREDIT_LIABILITY, "promotion": PROMOTIONAL_CREDITS}
#: Balances of these say what a period earned; the sign is turned when they are shown.
REVENUE_ACCOUNTS: Final = (REVENUE, REVENUE_PROMOTION, REVENUE_BREAKAGE)
COST_ACCOUNTS: Final = (
    COST_INFRASTRUCTURE_ESTIMATED,
    COST_INFRASTRUCTURE,
    COST_MODELS,
    COST_OVERHEAD,
    BAD_DEBT,
)
