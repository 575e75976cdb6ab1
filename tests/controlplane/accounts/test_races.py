"""Two at once: an owner stays, a link lets one in, a key gets one replacement."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from controlplane.accounts import roles
from controlplane.accounts.invitations import invitation_accept
from controlplane.accounts.key_rotation import api_key_rotate
from controlplane.accounts.members import member_role_set
from controlplane.accounts.models import ApiKey, Membership, User
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.core.errors import FreeholdError
from tests.controlplane.accounts.test_invitations import STRONG, invite
from tests.support.people import Person, person_make


@pytest.fixture
def committed_owner(transactional_db: None) -> Person:
    team = team_create(name="Team O", actor="test", now=clock.now())
    return person_make("olivia@example.com", team, roles.OWNER)


def at_once(*works: Callable[[], object]) -> list[str]:
    """What each came to: `done`, or the code of its refusal; anything else is a fault of the test's."""
    start, came_to = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
            came_to.append("done")
        except FreeholdError as error:
            came_to.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(came_to)


def test_owners_who_demote_each_other_leave_one(committed_owner: Person) -> None:
    second = person_make("second@example.com", committed_owner.team, roles.OWNER)

    def demote(by: Person, whom: Person) -> Callable[[], object]:
        return lambda: member_role_set(
            principal=by.principal, user_id=whom.user.pk, role=roles.VIEWER, now=clock.now()
        )

    came_to = at_once(demote(committed_owner, second), demote(second, committed_owner))

    assert came_to == ["done", "permission_denied"]
    assert Membership.objects.filter(role=roles.OWNER).count() == 1


def test_owners_who_leave_at_once_leave_one(committed_owner: Person) -> None:
    second = person_make("second@example.com", committed_owner.team, roles.OWNER)

    def leave(who: Person) -> Callable[[], object]:
        return lambda: member_role_set(
            principal=who.principal, user_id=who.user.pk, role=roles.VIEWER, now=clock.now()
        )

    assert at_once(leave(committed_owner), leave(second)) == ["done", "last_owner"]
    assert Membership.objects.filter(role=roles.OWNER).count() == 1


def test_a_link_lets_one_in(committed_owner: Person) -> None:
    token = invite(committed_owner.principal)

    def accept() -> object:
        return invitation_accept(token=token, name="N", password=STRONG, now=clock.now())

    assert at_once(accept, accept, accept) == ["done", "not_found", "not_found"]
    assert User.objects.filter(email="new@example.com").count() == 1


def test_a_key_gets_one_replacement(committed_owner: Person) -> None:
    old = ApiKey.objects.get()

    def rotate() -> object:
        return api_key_rotate(
            team_id=old.team_id, api_key_id=old.pk, overlap=timedelta(hours=1), actor="test", now=clock.now()
        )

    assert at_once(rotate, rotate, rotate) == ["already_rotated", "already_rotated", "done"]
    assert ApiKey.objects.count() == 2
