"""Too much at once is told to come again: nothing hangs, nothing acknowledged is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from billing.metering.models import UsageEventKey
from controlplane.api.pressure import Gate
from controlplane.core.errors import RetryLater
from tests.controlplane.api.test_usage import BATCH, event, send, sender
from tests.support.people import ApiClient

__all__ = ["sender"]


def test_a_gate_lets_so_many_through_and_so_many_wait() -> None:
    gate, inside, leave = Gate(at_once=2, waiting=1, wait_s=30), threading.Barrier(3), threading.Event()

    def pass_through(number: int) -> str:
        try:
            with gate.passed():
                if number < 2:
                    inside.wait(10)
                    leave.wait(10)
                return "passed"
        except RetryLater as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(pass_through, number) for number in range(2)]
        inside.wait(10)
        third = pool.submit(pass_through, 2)
        while gate._places._value:  # the third has taken the only place to wait
            threading.Event().wait(0.01)
        assert pass_through(3) == "ingest_busy"
        leave.set()
        assert [one.result(10) for one in (*first, third)] == ["passed"] * 3
    assert pass_through(4) == "passed"


def test_whoever_waits_too_long_is_told_to_come_again() -> None:
    gate = Gate(at_once=1, waiting=5, wait_s=0.05)
    with gate.passed(), pytest.raises(RetryLater), gate.passed():
        pass
    with gate.passed():
        pass


def test_a_busy_process_answers_503_and_stores_nothing(
    sender: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(at_once=1, waiting=0, wait_s=0)
    monkeypatch.setattr("controlplane.api.ingest.ingest_gate", gate)
    with gate.passed():
        busy = send(sender, [event("1")], BATCH)
    assert (busy.status_code, busy.json()["code"], int(busy.headers["Retry-After"]) > 0) == (
        503,
        "ingest_busy",
        True,
    )
    assert not UsageEventKey.objects.exists()
    assert send(sender, [event("1")], BATCH).json()["accepted"] == 1


@pytest.mark.parametrize(
    "error", [OperationalError("couldn't get a connection after 10.00 sec"), InterfaceError()]
)
def test_a_database_that_fails_is_a_503_and_nothing_is_acknowledged(
    sender: ApiClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The last statement fails, as it does when Postgres stops or a connection is lost in the middle."""

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("billing.metering.services.rollups_add", fail)
        answer = send(sender, [event("1")], BATCH)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert not UsageEventKey.objects.exists()
    assert send(sender, [event("1")], BATCH).json()["accepted"] == 1
