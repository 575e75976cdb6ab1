"""Data keys: made at first use, sealed by the newest operator key, rotated, and destroyed with their owner."""

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.db import IntegrityError, transaction
from django.db.models import Max

from controlplane.core.aead import aead_open, aead_seal
from controlplane.core.audit import audit_record
from controlplane.core.errors import OperatorError
from controlplane.core.models import DataKey
from controlplane.core.operator_keys import OperatorKey, operator_keys

#: Owner of the key for values that belong to no tenant.
INSTALLATION: Final = UUID(int=0)

_CURRENT = "SELECT * FROM core_datakey WHERE owner = %s AND destroyed_at IS NULL ORDER BY version DESC LIMIT 1 {lock}"
_ATTEMPTS = 5


def data_key_current(*, owner: UUID) -> DataKey:
    """The key that seals the owner's values now; made when there is none.

    For a tenant it is locked against its destruction until the transaction ends, so that no value is stored under
    a key that is gone. The installation's key is never destroyed, and needs no transaction.
    """
    lock = "" if owner == INSTALLATION else "FOR SHARE"
    if lock and not transaction.get_connection().in_atomic_block:
        raise RuntimeError("sealing under a tenant's key needs the transaction that stores the value")
    for _ in range(_ATTEMPTS):
        found: Sequence[DataKey] = list(DataKey.objects.raw(_CURRENT.format(lock=lock), [owner]))
        if found:
            return found[0]
        # Somebody may make it at the same time: the unique version decides, and the next look finds it.
        _data_key_add(owner, version=1 + _last_version(owner))
    raise RuntimeError(f"no data key for {owner} after {_ATTEMPTS} attempts")


def data_key_get(key_id: UUID, *, context: str) -> DataKey:
    """Raises OperatorError (`data_key_destroyed`) for one that was destroyed or is not here."""
    key = DataKey.objects.filter(pk=key_id).first()
    if key is None or key.destroyed_at is not None:
        raise OperatorError(
            f"The key of a stored secret ({context}) was destroyed.",
            code="data_key_destroyed",
            hint="That happens to a tenant's secrets when it is deprovisioned; they cannot be brought back.",
        )
    return key


def data_key_unwrap(key: DataKey) -> bytes:
    """The key itself. Raises OperatorError when the operator key that seals it is not configured."""
    holder = next((each for each in operator_keys() if each.id == key.operator_key), None)
    if holder is not None:
        try:
            raw = base64.urlsafe_b64decode(key.wrapped)
            return aead_open(holder.wrapping(), raw, bound_to=_bound(key.owner, key.id))
        except (InvalidTag, ValueError) as error:
            raise OperatorError(
                f"Data key {key.id} was changed and does not open.", code="data_key_broken"
            ) from error
    raise OperatorError(
        f"Data key {key.id} is sealed by operator key {key.operator_key}, which is not configured.",
        code="encryption_key_missing",
        hint="Put it back into FREEHOLD_ENCRYPTION_KEYS (several may be listed, newest first).",
    )


@transaction.atomic
def data_key_rotate(*, owner: UUID, actor: str, now: datetime) -> DataKey:
    """A new key for the owner: from now on it seals. `renewal.py` then moves the values, and ends the old key."""
    version = 1 + _last_version(owner)
    key = _data_key_add(owner, version=version)
    if key is None:
        # Another rotation was faster; two at once are one.
        return DataKey.objects.get(owner=owner, version=version)
    _audit("encryption.data_key_rotated", owner, actor, now, version=version)
    return key


@transaction.atomic
def data_keys_destroy(*, owner: UUID, actor: str, now: datetime) -> int:
    """Destroys every key of an owner that is gone: nothing sealed under them can be read again. How many."""
    alive = DataKey.objects.filter(owner=owner, destroyed_at=None)
    destroyed = alive.update(wrapped="", operator_key="", destroyed_at=now)
    if destroyed:
        _audit("encryption.data_keys_destroyed", owner, actor, now, keys=destroyed)
    return destroyed


def data_keys_rewrap(*, limit: int) -> int:
    """Seals up to `limit` data keys by the newest operator key; how many. Zero: none is left to do."""
    newest, done = operator_keys()[0], 0
    behind = DataKey.objects.filter(destroyed_at=None).exclude(operator_key=newest.id)
    for key in behind.order_by("pk")[:limit]:
        wrapped = _wrap(newest, data_key_unwrap(key), key.owner, key.id)
        unmoved = DataKey.objects.filter(pk=key.pk, wrapped=key.wrapped, destroyed_at=None)
        done += unmoved.update(wrapped=wrapped, operator_key=newest.id)
    return done


def _data_key_add(owner: UUID, *, version: int) -> DataKey | None:
    """None when that version is there already."""
    newest = operator_keys()[0]
    key = DataKey(owner=owner, version=version, operator_key=newest.id)
    key.wrapped = _wrap(newest, os.urandom(32), owner, key.id)
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError:
        return None
    return key


def _last_version(owner: UUID) -> int:
    return DataKey.objects.filter(owner=owner).aggregate(last=Max("version"))["last"] or 0


def _wrap(holder: OperatorKey, raw: bytes, owner: UUID, key_id: UUID) -> str:
    return base64.urlsafe_b64encode(
        aead_seal(holder.wrapping(), raw, bound_to=_bound(owner, key_id))
    ).decode()


def _bound(owner: UUID, key_id: UUID) -> bytes:
    return f"data-key:{owner}:{key_id}".encode()


def _audit(action: str, owner: UUID, actor: str, now: datetime, **data: int) -> None:
    audit_record(
        at=now, actor=actor, action=action, subject_type="data_keys", subject_id=str(owner), data=data
    )
