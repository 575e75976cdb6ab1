"""The event store: who follows by a cursor misses nothing."""

import threading

import pytest
from django.db import connection, transaction

from controlplane.core import clock
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation
from controlplane.operations.selectors import events_after
from controlplane.tenants.models import Tenant


@pytest.mark.django_db(transaction=True)
def test_a_later_id_is_never_seen_before_an_earlier_one(acme: tuple[Tenant, Operation]) -> None:
    operation = acme[1]
    cursor = events_after(operation_id=operation.id, cursor=0, limit=100)[-1].id
    written, may_commit = threading.Event(), threading.Event()

    def say(text: str) -> None:
        events_append(operation_id=operation.id, at=clock.now(), events=[("message", {"message": text})])

    def slowly() -> None:
        try:
            with transaction.atomic():
                say("first")
                written.set()
                assert may_commit.wait(20)
        finally:
            connection.close()

    def at_once() -> None:
        try:
            say("second")
        finally:
            connection.close()

    slow = threading.Thread(target=slowly)
    slow.start()
    assert written.wait(20)
    quick = threading.Thread(target=at_once)
    quick.start()
    quick.join(1.0)
    seen_meanwhile = events_after(operation_id=operation.id, cursor=cursor, limit=100)
    may_commit.set()
    for each in (slow, quick):
        each.join(20)

    assert seen_meanwhile == [], "a cursor set by it would pass by the one that is still to be committed"
    after = events_after(operation_id=operation.id, cursor=cursor, limit=100)
    assert [event.data["message"] for event in after] == ["first", "second"]
