"""Idempotency-Key: one effect per key, whatever is repeated, and when."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.api.idempotency import KEPT, idempotency_prune
from controlplane.api.models import IdempotencyRecord
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import Person, person_make

GOOD = {"slug": "globex", "name": "Globex", "plan": "starter", "target": "local"}
KEY = {"idempotency-key": "k-1"}


def test_the_same_request_gets_the_stored_answer(owner: Person) -> None:
    first = owner.api().post("/tenants", GOOD, headers=KEY)
    again = owner.api().post("/tenants", dict(reversed(GOOD.items())), headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Operation.objects.count() == 1


def test_an_answer_is_forgotten_after_a_month(owner: Person) -> None:
    owner.api().post("/tenants", GOOD, headers=KEY)
    made = IdempotencyRecord.objects.get().created_at
    assert idempotency_prune(now=made + KEPT) == 0
    again = owner.api().post("/tenants", GOOD, headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"

    assert idempotency_prune(now=made + KEPT + timedelta(seconds=1)) == 1
    anew = owner.api().post("/tenants", GOOD, headers=KEY)
    assert (anew.status_code, anew.json()["code"]) == (409, "slug_taken")


def test_another_body_under_the_key_is_refused(owner: Person) -> None:
    owner.api().post("/tenants", GOOD, headers=KEY)
    other = owner.api().post("/tenants", {**GOOD, "name": "Else"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_running_first_request_is_said_so_and_an_abandoned_one_may_be_taken_over(owner: Person) -> None:
    owner.api().post("/tenants", GOOD, headers=KEY)
    Tenant.objects.all()
    IdempotencyRecord.objects.update(status=None)
    running = owner.api().post("/tenants", GOOD, headers=KEY)
    assert (running.status_code, running.json()["code"]) == (409, "idempotency_in_progress")
    IdempotencyRecord.objects.update(created_at=clock.now() - timedelta(minutes=5))
    taken = owner.api().post("/tenants", GOOD, headers=KEY)
    assert (taken.status_code, taken.json()["code"]) == (409, "slug_taken")


def test_an_error_is_not_remembered(owner: Person) -> None:
    assert owner.api().post("/tenants", {**GOOD, "plan": "gold"}, headers=KEY).status_code == 422
    assert owner.api().post("/tenants", GOOD, headers=KEY).status_code == 202


def test_keys_of_two_people_do_not_meet(owner: Person, stranger: Person) -> None:
    mine = owner.api().post("/tenants", GOOD, headers=KEY)
    theirs = stranger.api().post("/tenants", {**GOOD, "slug": "initech"}, headers=KEY)
    assert (mine.status_code, theirs.status_code) == (202, 202)


def test_stored_answers_are_encrypted(owner: Person) -> None:
    body = {"name": "ci", "scopes": ["tenants:read"]}
    answer = owner.api().post("/api-keys", body, headers=KEY)
    assert answer.status_code == 201
    assert answer.json()["api_key"] not in IdempotencyRecord.objects.get().sealed_answer


@pytest.mark.django_db(transaction=True)
def test_simultaneous_repeats_create_once() -> None:
    person = person_make("twice@example.com", team_create(name="T", actor="t", now=clock.now()), roles.OWNER)
    statuses: list[int] = []
    start = threading.Barrier(6)

    def send() -> None:
        start.wait()
        try:
            statuses.append(person.api().post("/tenants", GOOD, headers=KEY).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(statuses) <= {202, 409}
    assert 202 in statuses
    assert Tenant.objects.count() == Operation.objects.count() == 1
