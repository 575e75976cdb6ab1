"""Numbers without gaps: a number is taken under its series' row lock, in the transaction that issues the document.

What rolls back gives its number back, and the next one gets it. A changed prefix begins a series of its own.
"""

from typing import Literal

from django.db import transaction

from billing.invoicing.locks import series_lock
from billing.invoicing.models import LegalEntity

SeriesKind = Literal["invoice", "credit_note"]


def number_take(*, legal_entity: LegalEntity, kind: SeriesKind) -> str:
    """The next number, such as `INV-000042`. Others of the same series wait until this transaction ends."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a number is taken in the transaction that issues its document")
    prefix = legal_entity.number_prefix if kind == "invoice" else legal_entity.credit_note_prefix
    series = series_lock(legal_entity=legal_entity, kind=kind, prefix=prefix)
    number = series.next_number
    series.next_number = number + 1
    series.save(update_fields=["next_number"])
    return f"{prefix}-{number:06d}"
