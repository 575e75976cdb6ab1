"""The lock of the ledger: one book at a time, before anything in it is read that a posting depends on.

Who needs several books takes them in the order of their ids.
"""

from collections.abc import Iterable
from uuid import UUID

from billing.ledger.models import LedgerBook


def book_lock(tenant_id: UUID) -> None:
    """Locks the book until the transaction ends; makes its row when it is the first."""
    books_lock([tenant_id])


def books_lock(tenant_ids: Iterable[UUID]) -> None:
    wanted = sorted(set(tenant_ids))
    LedgerBook.objects.bulk_create([LedgerBook(tenant_id=each) for each in wanted], ignore_conflicts=True)
    list(LedgerBook.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))
