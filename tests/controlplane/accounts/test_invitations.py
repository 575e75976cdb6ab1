"""An invitation lets one person in, once, as what was promised, and nobody else."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.invitations import (
    invitation_accept,
    invitation_create,
    invitation_follow,
    invitation_revoke,
)
from controlplane.accounts.members import member_remove
from controlplane.accounts.models import Invitation, Membership, User
from controlplane.accounts.selectors import principal_of_user
from controlplane.core import clock
from controlplane.core.errors import Conflict, FreeholdError, NotFound, PermissionDenied, ValidationFailed
from controlplane.core.models import AuditEvent
from tests.support.people import Person, person_make

STRONG = "a staple, a horse, a battery"


def invite(principal: Principal, email: str = "new@example.com", **fields: Any) -> str:
    wanted = {"role": roles.OPERATOR, "secret": "s" * 43, "now": clock.now(), **fields}
    return invitation_create(principal=principal, email=email, **wanted)[1]


def accept(token: str, password: str = STRONG, **fields: Any) -> User:
    return invitation_accept(
        token=token, name=" Nora  New ", password=password, **{"now": clock.now(), **fields}
    )


def facts() -> object:
    return (User.objects.count(), Membership.objects.count(), AuditEvent.objects.count())


def test_somebody_new_joins_as_what_was_promised(owner: Person) -> None:
    tenant = uuid4()
    token = invite(owner.principal, "New@Example.com", tenant_ids=[tenant])

    user = accept(token)

    assert (user.email, user.name) == ("new@example.com", "Nora New")
    assert user.check_password(STRONG)
    principal = principal_of_user(user=user)
    assert principal is not None
    assert (principal.team_id, principal.role) == (owner.team.pk, roles.OPERATOR)
    assert principal.tenant_ids == frozenset({tenant})
    done = AuditEvent.objects.filter(team_id=owner.team.pk, actor="user:new@example.com")
    assert {event.action for event in done} == {"user.created", "invitation.accepted"}


def test_it_works_once(owner: Person) -> None:
    token = invite(owner.principal)
    accept(token)
    before = facts()

    with pytest.raises(NotFound):
        accept(token)
    with pytest.raises(NotFound):
        invitation_follow(token=token, now=clock.now())
    assert facts() == before


def test_a_weak_password_uses_nothing_up(owner: Person) -> None:
    token = invite(owner.principal)
    before = facts()
    for weak in ("short", "password1234", "new@example.com"):
        with pytest.raises(ValidationFailed, match="password"):
            accept(token, weak)
    assert facts() == before
    accept(token)


def test_it_ends_by_the_clock_and_by_hand_and_by_the_next_one(owner: Person) -> None:
    now = clock.now()
    late = invite(owner.principal, "late@example.com", days=1)
    revoked = invite(owner.principal, "revoked@example.com")
    first = invite(owner.principal, "twice@example.com", secret="a" * 43)
    second = invite(owner.principal, "twice@example.com", secret="b" * 43)
    promised = Invitation.objects.get(email="revoked@example.com")
    invitation_revoke(principal=owner.principal, invitation_id=promised.pk, now=now)
    with pytest.raises(Conflict):
        invitation_revoke(principal=owner.principal, invitation_id=promised.pk, now=now)
    before = facts()

    for token, at in ((late, now + timedelta(days=1, seconds=1)), (revoked, now), (first, now)):
        with pytest.raises(NotFound, match="not valid, has expired, or was used or revoked"):
            accept(token, now=at)
    assert facts() == before
    accept(second)


def test_a_token_is_not_to_be_made_up_nor_kept(owner: Person) -> None:
    token = invite(owner.principal)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM accounts_invitation t")
        (kept,) = cursor.fetchone()
    assert "s" * 43 not in kept
    assert token not in str(list(AuditEvent.objects.values_list("data", flat=True)))

    head, secret, signature = token.split(".")
    for wrong in (
        "",
        "x",
        token[:-1],
        f"{head}.{'t' * 43}.{signature}",
        f"{uuid4().hex}.{secret}.{signature}",
    ):
        with pytest.raises(NotFound):
            invitation_follow(token=wrong, now=clock.now())
    assert invitation_follow(token=token, now=clock.now()).email == "new@example.com"


def test_an_account_that_somebody_works_with_is_not_taken_over(owner: Person, stranger: Person) -> None:
    token = invite(stranger.principal, owner.user.email, role=roles.VIEWER)
    before = facts()

    with pytest.raises(Conflict, match="works elsewhere"):
        accept(token)

    owner.user.refresh_from_db()
    assert not owner.user.check_password(STRONG)
    assert facts() == before


def test_who_was_removed_comes_back_with_a_new_password(owner: Person, teammate: Person) -> None:
    member_remove(principal=owner.principal, user_id=teammate.user.pk, now=clock.now(), revoke_keys=False)

    user = accept(invite(owner.principal, teammate.user.email))

    assert user.pk == teammate.user.pk
    user.refresh_from_db()
    assert user.check_password(STRONG)
    assert principal_of_user(user=user) is not None


def test_who_may_invite_as_what(owner: Person, teammate: Person, stranger: Person) -> None:
    admin = person_make("ada@example.com", owner.team, roles.ADMINISTRATOR)
    invite(admin.principal, "fine@example.com", role=roles.ADMINISTRATOR)
    found = Invitation.objects.get()
    before = facts()
    refused: list[tuple[Principal, dict[str, Any], type[FreeholdError]]] = [
        (admin.principal, {"role": roles.OWNER}, PermissionDenied),
        (teammate.principal, {"role": roles.VIEWER}, PermissionDenied),
        (owner.principal, {"role": "king"}, ValidationFailed),
        (owner.principal, {"days": 31}, ValidationFailed),
        (owner.principal, {"email": "nobody"}, ValidationFailed),
        (owner.principal, {"email": teammate.user.email}, Conflict),
    ]
    for principal, fields, refusal in refused:
        with pytest.raises(refusal):
            invite(principal, **fields)
    for principal, refusal in ((teammate.principal, PermissionDenied), (stranger.principal, NotFound)):
        with pytest.raises(refusal):
            invitation_revoke(principal=principal, invitation_id=found.pk, now=clock.now())
    assert facts() == before
    assert Invitation.objects.filter(revoked_at=None).count() == 1
