"""Moving sealed values to their owner's newest data key, ending old keys, and saying what still needs which key.

Every step is one guarded update in a transaction of its own: killed anywhere and called again, it goes on. Services
read old and new values alike meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from cryptography.fernet import InvalidToken
from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery, TextField, UUIDField, Value
from django.db.models.functions import Cast, Replace, Substr

from controlplane.core.data_keys import INSTALLATION
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.errors import OperatorError
from controlplane.core.models import DataKey
from controlplane.core.operator_keys import operator_keys
from controlplane.core.sealed import PREFIX, SEALED_FIELDS, SealedField

log = structlog.get_logger()


@dataclass(frozen=True)
class Renewed:
    """`unreadable` values were left as they are: no key opens them."""

    done: int
    unreadable: int


def sealed_values_renew(*, limit: int) -> Renewed:
    """Seals up to `limit` values anew that are not under their owner's newest key."""
    done = unreadable = 0
    for field in SEALED_FIELDS:
        for pk, owner, token in _behind(field).values_list("pk", "key_owner", field.field).order_by("pk"):
            if done >= limit:
                return Renewed(done, unreadable)
            try:
                done += _renew(field, pk, owner, token)
            except OperatorError as error:
                log.warning("encryption.unreadable", field=str(field), row=str(pk), code=error.code)
                unreadable += 1
    return Renewed(done, unreadable)


@transaction.atomic
def _renew(field: SealedField, pk: Any, owner: UUID, token: str) -> int:
    context = field.context_of(owner=owner, pk=pk)
    value = decrypt(token, context=context)
    fresh = encrypt(value, context=context, owner=None if owner == INSTALLATION else owner)
    return field.rows().filter(Q(("pk", pk), (field.field, token))).update(**{field.field: fresh})


def data_keys_retire(*, now: datetime) -> int:
    """Destroys tenants' old keys under which nothing is sealed any more; how many."""
    newest = (
        DataKey.objects.filter(owner=OuterRef("owner"), destroyed_at=None)
        .order_by()
        .values("owner")
        .annotate(last=Max("version"))
        .values("last")
    )
    old = DataKey.objects.filter(destroyed_at=None, version__lt=Subquery(newest)).exclude(owner=INSTALLATION)
    return sum(_retire(key_id, now) for key_id in old.values_list("pk", flat=True))


@transaction.atomic
def _retire(key_id: UUID, now: datetime) -> int:
    # Waits for whoever seals under it at this moment; after that nobody can, since a newer key is there.
    key = DataKey.objects.select_for_update().filter(pk=key_id, destroyed_at=None).first()
    if key is None or any(_uses(field, key).exists() for field in SEALED_FIELDS):
        return 0
    return DataKey.objects.filter(pk=key_id).update(wrapped="", operator_key="", destroyed_at=now)


def encryption_report() -> dict[str, Any]:
    """What needs which key:

    {operator_keys: [{id, newest, data_keys, values, removable}], missing: [id], data_keys: {current, old,
    destroyed}, values: {total, current, behind, unreadable}}. `missing` are operator keys that data keys need and
    that are not configured. An operator key is `removable` once nothing needs it and it is not the newest.
    """
    behind = {field: list(_behind(field).values_list(field.field, flat=True)) for field in SEALED_FIELDS}
    legacy = [token for tokens in behind.values() for token in tokens if not token.startswith(PREFIX)]
    holders = [_legacy_holder(token) for token in legacy]
    alive = DataKey.objects.filter(destroyed_at=None)
    wrapped = list(alive.values_list("operator_key", flat=True))
    configured = [key.id for key in operator_keys()]
    total = sum(_sealed(field).count() for field in SEALED_FIELDS)
    owners = alive.values("owner").distinct().count()
    count_behind = sum(len(tokens) for tokens in behind.values())
    return {
        "operator_keys": [
            {
                "id": key_id,
                "newest": position == 0,
                "data_keys": wrapped.count(key_id),
                "values": holders.count(key_id),
                "removable": position > 0 and key_id not in wrapped and key_id not in holders,
            }
            for position, key_id in enumerate(configured)
        ],
        "missing": sorted(set(wrapped) - set(configured)),
        "data_keys": {
            "current": owners,
            "old": alive.count() - owners,
            "destroyed": DataKey.objects.exclude(destroyed_at=None).count(),
        },
        "values": {
            "total": total,
            "current": total - count_behind,
            "behind": count_behind,
            "unreadable": holders.count(None),
        },
    }


def _legacy_holder(token: str) -> str | None:
    """Which operator key opens a value of an earlier release."""
    for key in operator_keys():
        try:
            key.fernet().decrypt(token.encode())
        except InvalidToken:
            continue
        return key.id
    return None


def _sealed(field: SealedField) -> QuerySet[Any]:
    owner = F(field.owner) if field.owner else Value(INSTALLATION)
    rows: QuerySet[Any] = field.rows().exclude(**{field.field: ""})
    annotated: QuerySet[Any] = rows.annotate(key_owner=Cast(owner, UUIDField()))
    return annotated


def _behind(field: SealedField) -> QuerySet[Any]:
    """Rows whose value is not under their owner's newest key."""
    newest = (
        DataKey.objects.filter(owner=OuterRef("key_owner"), destroyed_at=None)
        .order_by("-version")
        .annotate(hex=Replace(Cast("id", TextField()), Value("-"), Value(""), output_field=TextField()))
        .values("hex")[:1]
    )
    rows: QuerySet[Any] = _sealed(field).annotate(newest=Subquery(newest), reference=_reference(field))
    return rows.filter(Q(newest=None) | ~Q(reference=F("newest")))


def _uses(field: SealedField, key: DataKey) -> QuerySet[Any]:
    return field.rows().filter(**{f"{field.field}__startswith": f"{PREFIX}{key.id.hex}:"})


def _reference(field: SealedField) -> Substr:
    return Substr(field.field, len(PREFIX) + 1, 32)


def batches(*, limit: int) -> Iterator[Renewed]:
    """Renews batch after batch until nothing readable is behind."""
    while (renewed := sealed_values_renew(limit=limit)).done:
        yield renewed
