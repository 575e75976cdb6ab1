"""A key is replaced without a gap: both are good for a while, then only the new one."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from controlplane.accounts import roles
from controlplane.accounts.key_rotation import api_key_rotate
from controlplane.accounts.models import ApiKey
from controlplane.accounts.selectors import principal_of_token
from controlplane.accounts.services import api_key_create, api_key_revoke
from controlplane.core import clock
from controlplane.core.errors import Conflict, NotFound, ValidationFailed
from controlplane.core.models import AuditEvent
from tests.support.people import Person

HOUR = timedelta(hours=1)


def made(owner: Person, **fields: Any) -> tuple[ApiKey, str]:
    return api_key_create(
        team_id=owner.team.pk, name="ci", scopes=[roles.TENANTS_READ], actor="test", now=clock.now(), **fields
    )


def rotate(owner: Person, key: ApiKey, overlap: timedelta = HOUR, **fields: Any) -> tuple[ApiKey, str]:
    wanted = {"team_id": owner.team.pk, "now": clock.now(), **fields}
    return api_key_rotate(api_key_id=key.pk, overlap=overlap, actor="test", **wanted)


def test_both_are_valid_until_the_overlap_is_over(owner: Person) -> None:
    tenant, now = uuid4(), clock.now()
    old, before = made(owner, tenant_ids=[tenant])

    new, after = rotate(owner, old, now=now)

    assert (new.name, new.scopes, new.tenant_ids, new.expires_at) == (old.name, old.scopes, [tenant], None)
    for token in (before, after):
        found = principal_of_token(token=token, now=now + HOUR - timedelta(seconds=1))
        assert found is not None
        assert (found.scopes, found.tenant_ids) == (frozenset(old.scopes), frozenset({tenant}))
    assert principal_of_token(token=before, now=now + HOUR) is None
    assert principal_of_token(token=after, now=now + HOUR) is not None
    event = AuditEvent.objects.get(action="api_key.rotated")
    assert (event.subject_id, event.data["replacement"]) == (str(old.pk), str(new.pk))
    assert after not in str(event.data)


def test_without_overlap_the_old_one_ends_at_once(owner: Person) -> None:
    now = clock.now()
    old, before = made(owner)
    rotate(owner, old, timedelta(0), now=now)
    assert principal_of_token(token=before, now=now) is None


def test_it_gets_as_long_a_life_and_the_old_one_no_longer_one(owner: Person) -> None:
    begun = clock.now()
    old, _ = made(owner, expires_at=begun + timedelta(days=90))
    later = begun + timedelta(days=89, hours=23, minutes=30)

    new, _ = rotate(owner, old, now=later)

    old.refresh_from_db()
    assert old.expires_at == begun + timedelta(days=90), "the overlap does not prolong it"
    assert new.expires_at is not None
    assert abs(new.expires_at - later - timedelta(days=90)) < timedelta(minutes=1)


def test_what_cannot_be_rotated(owner: Person, stranger: Person) -> None:
    now = clock.now()
    revoked, _ = made(owner)
    api_key_revoke(team_id=owner.team.pk, api_key_id=revoked.pk, actor="test", now=now)
    expired, _ = made(owner, expires_at=now + HOUR)
    rotated, _ = made(owner)
    rotate(owner, rotated)
    fine, _ = made(owner)
    before = (ApiKey.objects.count(), AuditEvent.objects.count())

    for key, fields, refusal in (
        (revoked, {}, Conflict),
        (expired, {"now": now + 2 * HOUR}, Conflict),
        (rotated, {}, Conflict),
        (fine, {"team_id": stranger.team.pk}, NotFound),
        (fine, {"overlap": timedelta(days=31)}, ValidationFailed),
        (fine, {"overlap": -HOUR}, ValidationFailed),
    ):
        with pytest.raises(refusal):
            rotate(owner, key, **fields)
    assert (ApiKey.objects.count(), AuditEvent.objects.count()) == before
    fine.refresh_from_db()
    assert fine.expires_at is None
