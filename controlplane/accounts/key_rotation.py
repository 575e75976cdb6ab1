"""Rotation of an API key with overlap: the new one is valid at once, the old one until a chosen time."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction

from controlplane.accounts import locks
from controlplane.accounts.models import ApiKey
from controlplane.accounts.services import api_key_create
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, NotFound, ValidationFailed

LONGEST_OVERLAP: Final = timedelta(days=30)


@transaction.atomic
def api_key_rotate(
    *, team_id: UUID, api_key_id: UUID, overlap: timedelta, actor: str, now: datetime
) -> tuple[ApiKey, str]:
    """The key that takes the place of another one, and its token, which is never to be had again.

    Name, scopes and tenants are the same; one that expires gets as long a life as the old one had. The old one ends
    after `overlap`, or when it would have ended anyway. Raises NotFound for another team's, Conflict for one that is
    over or has a replacement, ValidationFailed.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValidationFailed.of("overlap", f"must be at most {LONGEST_OVERLAP.days} days")
    old = locks.api_key_lock(team_id=team_id, api_key_id=api_key_id)
    if old is None:
        raise NotFound("There is no such API key.")
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict(
            "The API key is over: nothing can be using it.", code="key_over", hint="Make a new one."
        )
    if ApiKey.objects.filter(replaces=old).exists():
        raise Conflict(
            "The API key has a replacement already.",
            code="already_rotated",
            hint="Rotate the replacement, or revoke this one.",
        )
    key, token = api_key_create(
        team_id=team_id,
        name=old.name,
        scopes=old.scopes,
        tenant_ids=old.tenant_ids,
        expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        actor=actor,
        now=now,
    )
    ends = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
    ApiKey.objects.filter(pk=key.pk).update(replaces=old)
    ended = ApiKey.objects.filter(pk=old.pk, revoked_at__isnull=True)
    if ended.update(expires_at=ends) != 1:
        raise Conflict("The API key was revoked meanwhile.", code="key_over")
    old.expires_at, key.replaces = ends, old
    audit_record(
        at=now,
        actor=actor,
        action="api_key.rotated",
        subject_type="api_key",
        subject_id=str(old.pk),
        team_id=team_id,
        data={"replacement": str(key.pk), "prefix": key.prefix, "ends_at": moment_text(ends)},
    )
    return key, token
