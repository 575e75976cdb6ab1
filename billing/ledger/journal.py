"""Posts to the journal: the only door to its rows.

The database itself refuses a transaction whose entries do not sum to zero (at COMMIT), and every change, deletion
or truncation of what was posted (migration `ledger`). A correction is a transaction that reverses another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.exact import decimal_text, exact_sum
from billing.ledger.accounts import ACCOUNTS
from billing.ledger.models import JournalEntry, JournalTransaction
from billing.period import Period, period_of
from controlplane.core.errors import Conflict
from controlplane.core.ids import uuid7

#: Entries are exact to this many places; what is finer must be rounded by who knows how.
PLACES = 12


@dataclass(frozen=True)
class Entry:
    """A debit (positive) or credit (negative) of one account; `subject` is the invoice or grant it is about."""

    account: str
    amount: Decimal
    subject: UUID | None = None


def journal_post(
    *,
    key: str,
    kind: str,
    at: datetime,
    tenant_id: UUID,
    currency: str,
    entries: Sequence[Entry],
    about: str,
    period: Period | None = None,
    data: Mapping[str, Any] | None = None,
    reverses: JournalTransaction | None = None,
) -> JournalTransaction:
    """Posts once per `key`: the same key with the same entries gives the transaction that is stored.

    `period` is the service period, by default the month of `at`. Entries of zero are left out; a transaction may
    be left without any, and is then the record that something happened. Raises Conflict
    (`journal_key_conflict`) when the key was posted with other entries, ValueError for entries that cannot be
    right. Takes part in the caller's transaction, if there is one.
    """
    moving = [entry for entry in entries if entry.amount]
    _check(key, moving)
    served = period or period_of(at)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_journaltransaction
                (id, key, kind, at, tenant_id, currency, service_start, service_end, size, about, data, reverses_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s)
            ON CONFLICT (key) DO NOTHING RETURNING id
            """,
            [
                uuid7(),
                key,
                kind,
                at,
                tenant_id,
                currency,
                served.start,
                served.end,
                len(moving),
                about,
                json.dumps(dict(data or {})),
                reverses.pk if reverses else None,
            ],
        )
        fresh = cursor.fetchone() is not None
        posted = JournalTransaction.objects.get(key=key)
        if fresh:
            JournalEntry.objects.bulk_create(
                [
                    JournalEntry(
                        transaction=posted,
                        position=position,
                        account=entry.account,
                        amount=entry.amount,
                        subject=entry.subject,
                    )
                    for position, entry in enumerate(moving)
                ]
            )
    if not fresh:
        _same_or_conflict(posted, kind, tenant_id, currency, moving)
    return posted


def journal_reverse(*, original: JournalTransaction, at: datetime, about: str) -> JournalTransaction:
    """Posts the opposite of every entry, in the same service period; again gives the one reversal there is."""
    return journal_post(
        key=f"{original.key}:reversal",
        kind=f"{original.kind}_reversal",
        at=at,
        tenant_id=original.tenant_id,
        currency=original.currency,
        entries=[Entry(each.account, -each.amount, each.subject) for each in entries_of(original)],
        about=about,
        period=Period(original.service_start, original.service_end),
        reverses=original,
    )


def entries_of(posted: JournalTransaction) -> list[JournalEntry]:
    return list(posted.entries.order_by("position"))


def _check(key: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.account not in ACCOUNTS:
            raise ValueError(f"{key}: there is no account {entry.account!r}")
        exponent = entry.amount.as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > PLACES:
            raise ValueError(f"{key}: {entry.amount} is finer than {PLACES} places, or no number")
    total = exact_sum(entry.amount for entry in entries)
    if total:
        raise ValueError(f"{key}: the entries sum to {total}, not to zero")


def _same_or_conflict(
    posted: JournalTransaction, kind: str, tenant_id: UUID, currency: str, entries: Sequence[Entry]
) -> None:
    stored = [(each.account, each.amount, each.subject) for each in entries_of(posted)]
    asked = [(each.account, each.amount, each.subject) for each in entries]
    if (posted.kind, posted.tenant_id, posted.currency, stored) != (kind, tenant_id, currency, asked):
        held = ", ".join(f"{account} {decimal_text(amount)}" for account, amount, _ in stored)
        raise Conflict(
            f"The journal holds {posted.key} already, with other entries ({held}).",
            code="journal_key_conflict",
            hint="What was posted stays. Post a correction under a key of its own.",
        )
