"""Distributes what carries no tenant's tag: by each tenant's share of the direct cost of the same month and currency.

Direct cost is infrastructure (estimated or billed) and models; a tenant whose direct cost is not positive takes no
share, and where nobody has any the overhead stays in the fleet's own book. Shares are dealt out by largest
remainder to the twelfth place, so that they sum to the overhead. Done again after each change: only differences
are posted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from billing.exact import QUANTITY_STEP, WIDE, decimal_text, exact_sum
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.locks import books_lock
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import balances_of, entries_in
from billing.period import Period

KIND = "overhead_share"
_DIRECT = (accounts.COST_INFRASTRUCTURE_ESTIMATED, accounts.COST_INFRASTRUCTURE, accounts.COST_MODELS)


def overhead_shares(total: Decimal, direct: Mapping[UUID, Decimal]) -> dict[UUID, Decimal]:
    """What each takes of `total`; sums to it exactly, or is empty. Pure."""
    weights = {tenant: cost for tenant, cost in sorted(direct.items()) if cost > 0}
    whole = exact_sum(weights.values())
    if not whole or not total:
        return {}
    exact = {tenant: WIDE.divide(WIDE.multiply(total, weight), whole) for tenant, weight in weights.items()}
    dealt = {
        tenant: share.quantize(QUANTITY_STEP, rounding=ROUND_FLOOR, context=WIDE)
        for tenant, share in exact.items()
    }
    spare = int(WIDE.divide(WIDE.subtract(total, exact_sum(dealt.values())), QUANTITY_STEP))
    by_remainder = sorted(dealt, key=lambda tenant: (WIDE.subtract(dealt[tenant], exact[tenant]), tenant))
    for tenant in by_remainder[:spare]:
        dealt[tenant] = WIDE.add(dealt[tenant], QUANTITY_STEP)
    return dealt


def overhead_distribute(*, pool_id: UUID, tenant_ids: Sequence[UUID], period: Period, at: datetime) -> int:
    """Makes each tenant's overhead of the month its share; how many tenants' changed.

    `tenant_ids` are all the team's, ended ones too.
    """
    with transaction.atomic():
        books_lock([pool_id, *tenant_ids])
        held = balances_of(tenant_ids=tenant_ids, period=period)
        changed = 0
        for currency, total in _overhead(pool_id, period).items():
            direct = {
                tenant: exact_sum(held.get((tenant, currency, account), Decimal(0)) for account in _DIRECT)
                for tenant in tenant_ids
            }
            shares = overhead_shares(total, direct)
            for tenant in sorted(tenant_ids):
                has = held.get((tenant, currency, accounts.COST_OVERHEAD), Decimal(0))
                difference = WIDE.subtract(shares.get(tenant, Decimal(0)), has)
                if difference:
                    _pass_on(pool_id, tenant, currency, difference, period, at)
                    changed += 1
    return changed


def _overhead(pool_id: UUID, period: Period) -> dict[str, Decimal]:
    """What came into the fleet's book, by currency, without what was passed on."""
    found = entries_in(tenant_ids=[pool_id], period=period).filter(account=accounts.COST_OVERHEAD)
    rows = found.exclude(transaction__kind=KIND).order_by().values("transaction__currency")
    return {row["transaction__currency"]: row["sum"] for row in rows.annotate(sum=Sum("amount"))}


def _pass_on(
    pool_id: UUID, tenant_id: UUID, currency: str, difference: Decimal, period: Period, at: datetime
) -> None:
    """Two transactions, since each book is balanced in itself."""
    key = f"overhead:{tenant_id}:{period.key}:{currency}"
    earlier = JournalTransaction.objects.filter(key__startswith=f"{key}:", tenant_id=tenant_id).count()
    for book, amount, side in ((tenant_id, difference, "share"), (pool_id, -difference, "passed")):
        journal_post(
            key=f"{key}:{earlier + 1}:{side}",
            kind=KIND,
            at=at,
            tenant_id=book,
            currency=currency,
            entries=[Entry(accounts.COST_OVERHEAD, amount), Entry(accounts.OVERHEAD_ALLOCATED, -amount)],
            about=f"Share of the fleet's overhead of {period.key}",
            period=period,
            data={"tenant": str(tenant_id), "amount": decimal_text(difference)},
        )
