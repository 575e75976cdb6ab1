"""Idempotency-Key: the same key and body get the stored answer, whatever happened in between.

The record is claimed in a transaction of its own before the work, and completed after it. A worker that dies in
between leaves it `running`; after RUNNING_LIMIT a repeat may claim it anew, since no request lasts that long. Records
are forgotten after KEPT: nobody repeats a request of a month ago, and some answers hold a key that is shown once.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from controlplane.accounts.access import Principal
from controlplane.api.models import IdempotencyRecord
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.errors import Conflict, ValidationFailed

RUNNING_LIMIT = timedelta(seconds=60)
KEPT = timedelta(days=30)
KEY_MAX = 255
#: Records that are forgotten in one go: ingest may have made thousands in an hour.
BATCH = 5000


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


def request_fingerprint(*, method: str, path: str, body: bytes, besides: bytes = b"") -> str:
    """SHA-256 of the request; JSON bodies by their meaning, so that spacing and member order do not count."""
    try:
        canonical = json.dumps(json.loads(body or b"null"), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        canonical = body
    return hashlib.sha256(
        b"\n".join([method.encode(), path.encode(), canonical, *([besides] if besides else [])])
    ).hexdigest()


def idempotent(
    *, principal: Principal, key: str, fingerprint: str, now: datetime, work: Callable[[], Answer]
) -> Answer:
    """Runs `work` once per key.

    Raises ValidationFailed (422) for another body under the same key, Conflict (409) while the first request
    still runs. An error is not remembered: nothing was done, the request may be repeated.
    """
    if not 1 <= len(key) <= KEY_MAX or not key.isprintable():
        raise ValidationFailed(
            f"Idempotency-Key must be 1 to {KEY_MAX} printable characters.", code="bad_idempotency_key"
        )
    record, claimed = _claim(principal, key, fingerprint, now)
    if not claimed:
        return _stored(record, fingerprint)
    try:
        answer = work()
    except BaseException:
        IdempotencyRecord.objects.filter(pk=record.pk, status__isnull=True).delete()
        raise
    sealed = encrypt({"body": answer.body, "headers": answer.headers}, context=f"idempotency:{record.pk}")
    IdempotencyRecord.objects.filter(pk=record.pk).update(status=answer.status, sealed_answer=sealed)
    return answer


def idempotency_prune(*, now: datetime) -> int:
    """Forgets records older than KEPT; how many."""
    old = IdempotencyRecord.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    pruned = 0
    while found := list(old.values_list("pk", flat=True)[:BATCH]):
        pruned += IdempotencyRecord.objects.filter(pk__in=found).delete()[0]
    return pruned


def _claim(principal: Principal, key: str, fingerprint: str, now: datetime) -> tuple[IdempotencyRecord, bool]:
    identity = {"team_id": principal.team_id, "actor": principal.actor, "key": key}
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(
                **identity, request_hash=fingerprint, created_at=now
            ), True
    except IntegrityError:
        record = IdempotencyRecord.objects.filter(**identity).first()
    if record is None:  # the first request failed between our two looks
        return _claim(principal, key, fingerprint, now)
    abandoned = IdempotencyRecord.objects.filter(
        pk=record.pk, status__isnull=True, request_hash=fingerprint, created_at__lt=now - RUNNING_LIMIT
    )
    return record, abandoned.update(created_at=now) == 1


def _stored(record: IdempotencyRecord, fingerprint: str) -> Answer:
    if record.request_hash != fingerprint:
        raise ValidationFailed(
            "This Idempotency-Key was used with another request.",
            code="idempotency_key_reused",
            hint="Use a fresh key for a different request.",
        )
    if record.status is None:
        raise Conflict(
            "The first request with this Idempotency-Key is still running.",
            code="idempotency_in_progress",
            hint="Repeat it in a moment; you will get the first answer.",
        )
    sealed = decrypt(record.sealed_answer, context=f"idempotency:{record.pk}")
    return Answer(record.status, sealed["body"], {**sealed["headers"], "Idempotency-Replayed": "true"})
