"""Who may make whom what, who stays, and what ends with somebody's place on the team."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.members import member_remove, member_role_set
from controlplane.accounts.models import ApiKey, Invitation, Membership
from controlplane.accounts.selectors import principal_of_token, principal_of_user
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.errors import Conflict, FreeholdError, NotFound, PermissionDenied, ValidationFailed
from controlplane.core.models import AuditEvent
from tests.controlplane.accounts.test_invitations import invite
from tests.support.people import Person, person_make


def role_set(principal: Principal, person: Person, role: str, **fields: Any) -> Membership:
    return member_role_set(principal=principal, user_id=person.user.pk, role=role, now=clock.now(), **fields)


def remove(principal: Principal, person: Person, **fields: Any) -> int:
    wanted = {"revoke_keys": True, **fields}
    return member_remove(principal=principal, user_id=person.user.pk, now=clock.now(), **wanted)


def facts() -> object:
    return (
        sorted(Membership.objects.values_list("user__email", "role", "tenant_ids")),
        ApiKey.objects.filter(revoked_at=None).count(),
        Invitation.objects.filter(revoked_at=None).count(),
        AuditEvent.objects.count(),
    )


def key_of(principal: Principal, scopes: list[str], **fields: Any) -> Principal:
    _, token = api_key_create(
        team_id=principal.team_id, name="k", scopes=scopes, actor=principal.actor, now=clock.now(), **fields
    )
    found = principal_of_token(token=token, now=clock.now())
    assert found is not None
    return found


@pytest.fixture
def admin(owner: Person) -> Person:
    return person_make("ada@example.com", owner.team, roles.ADMINISTRATOR)


def test_a_role_holds_from_the_next_request_on_and_is_audited(owner: Person, teammate: Person) -> None:
    tenant = uuid4()
    role_set(owner.principal, teammate, roles.OPERATOR, tenant_ids=[tenant])

    now = principal_of_user(user=teammate.user)
    assert now is not None
    assert (now.role, now.tenant_ids) == (roles.OPERATOR, frozenset({tenant}))
    assert roles.OPERATIONS_APPROVE in now.scopes
    event = AuditEvent.objects.get(action="membership.changed")
    assert event.actor == owner.principal.actor
    assert event.team_id == owner.team.pk
    assert event.data["before"] == {"role": "viewer", "tenant_ids": None}
    assert event.data["after"] == {"role": "operator", "tenant_ids": [str(tenant)]}


def test_saying_it_again_changes_nothing(owner: Person, teammate: Person) -> None:
    before = facts()
    role_set(owner.principal, teammate, roles.VIEWER)
    assert facts() == before


@pytest.mark.parametrize(
    ("target", "role", "allowed"),
    [
        ("viewer", roles.ADMINISTRATOR, True),
        ("viewer", roles.OWNER, False),
        ("owner", roles.VIEWER, False),
        ("owner", None, False),
        ("viewer", None, True),
    ],
)
@pytest.mark.parametrize("by_key", [False, True])
def test_nobody_decides_above_their_own_role(
    owner: Person, teammate: Person, admin: Person, target: str, role: str | None, allowed: bool, by_key: bool
) -> None:
    person_make("second@example.com", owner.team, roles.OWNER)
    person = owner if target == "owner" else teammate
    # A key that an owner made is an admin all the same.
    principal = key_of(owner.principal, [roles.ADMIN]) if by_key else admin.principal
    before = facts()

    def act() -> None:
        if role is None:
            remove(principal, person)
        else:
            role_set(principal, person, role)

    if allowed:
        act()
        assert facts() != before
    else:
        with pytest.raises(PermissionDenied, match="Only an owner decides about owners"):
            act()
        assert facts() == before


@pytest.mark.parametrize("role", [roles.ADMINISTRATOR, None])
def test_the_last_owner_stays(owner: Person, admin: Person, role: str | None) -> None:
    before = facts()
    with pytest.raises(Conflict, match="last owner"):
        remove(owner.principal, owner) if role is None else role_set(owner.principal, owner, role)
    assert facts() == before

    second = person_make("second@example.com", owner.team, roles.OWNER)
    second.user.is_active = False
    second.user.save()
    with pytest.raises(Conflict, match="last owner"):
        role_set(owner.principal, owner, roles.VIEWER)
    second.user.is_active = True
    second.user.save()
    role_set(owner.principal, owner, roles.VIEWER)


def test_whoever_lost_their_role_since_the_request_began_decides_nothing(owner: Person) -> None:
    second = person_make("second@example.com", owner.team, roles.OWNER)
    role_set(owner.principal, second, roles.VIEWER)
    before = facts()

    with pytest.raises(PermissionDenied):
        role_set(second.principal, owner, roles.VIEWER)
    assert facts() == before


def test_who_may_not_and_whom_they_do_not_find(
    owner: Person, teammate: Person, stranger: Person, admin: Person
) -> None:
    limited = key_of(owner.principal, [roles.ADMIN], tenant_ids=[uuid4()])
    cases: list[tuple[Principal, type[FreeholdError]]] = [
        (teammate.principal, PermissionDenied),
        (stranger.principal, NotFound),
        (limited, PermissionDenied),
        (key_of(owner.principal, [roles.TENANTS_WRITE]), PermissionDenied),
    ]
    before = facts()
    for principal, refusal in cases:
        with pytest.raises(refusal):
            role_set(principal, admin, roles.VIEWER)
        with pytest.raises(refusal):
            remove(principal, admin)
    assert facts() == before


@pytest.mark.parametrize(
    ("role", "tenants", "field"),
    [("king", None, "role"), (roles.OPERATOR, [], "tenants"), (roles.OWNER, [uuid4()], "tenants")],
)
def test_what_cannot_be(
    owner: Person, teammate: Person, role: str, tenants: list[UUID] | None, field: str
) -> None:
    before = facts()
    with pytest.raises(ValidationFailed, match=field):
        role_set(owner.principal, teammate, role, tenant_ids=tenants)
    assert facts() == before


def test_who_is_removed_leaves_no_key_and_no_promise(owner: Person, admin: Person) -> None:
    made = key_of(admin.principal, [roles.ADMIN])
    grandchild = key_of(made, [roles.TENANTS_READ])
    needed = key_of(admin.principal, [roles.USAGE_WRITE])
    kept = key_of(owner.principal, [roles.TENANTS_READ])
    invite(admin.principal, "new@example.com")
    assert needed.api_key_id is not None

    assert remove(owner.principal, admin, spared={needed.api_key_id}) == 2

    assert principal_of_user(user=admin.user) is None
    living = set(ApiKey.objects.filter(revoked_at=None).values_list("pk", flat=True))
    assert {made.api_key_id, grandchild.api_key_id}.isdisjoint(living)
    assert {needed.api_key_id, kept.api_key_id} <= living
    assert Invitation.objects.get().revoked_at is not None
    assert AuditEvent.objects.get(action="membership.removed").data["keys_revoked"] == 2
    with pytest.raises(NotFound):
        remove(owner.principal, admin)


def test_keys_may_stay(owner: Person, admin: Person) -> None:
    made = key_of(admin.principal, [roles.TENANTS_READ])

    assert remove(owner.principal, admin, revoke_keys=False) == 0

    assert ApiKey.objects.get(pk=made.api_key_id).revoked_at is None


def test_promises_end_with_the_role_that_made_them(owner: Person, admin: Person) -> None:
    invite(admin.principal, "new@example.com")
    role_set(owner.principal, admin, roles.OPERATOR)
    assert Invitation.objects.get().revoked_at is not None
