"""How long the pusher waits after a refusal, and that it catches up in order. No server: a control plane in memory."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_runtime.metering import pusher as module
from tenant_runtime.metering.pusher import BACKOFF_MAX_S, RETRY_AFTER_MAX_S, Pusher, PushFailed, pause_after


@given(st.integers(1, 10**6), st.floats(0, 10**9), st.floats(0, 1))
def test_a_pause_is_bounded_and_never_shorter_than_asked(failures: int, asked: float, luck: float) -> None:
    pause = pause_after(failures, asked, luck)
    assert min(asked, RETRY_AFTER_MAX_S) <= pause <= max(BACKOFF_MAX_S, RETRY_AFTER_MAX_S * 1.5)
    assert pause >= 0.25


def test_pauses_grow_and_are_spread() -> None:
    assert [pause_after(failures, 0, 1) for failures in (1, 2, 3, 9)] == [0.5, 1, 2, 60]
    assert {pause_after(1, 10, luck) for luck in (0, 0.5, 1)} == {10, 12.5, 15}


class Store:
    """The outbox's rows behind the pusher's connection: what it selects and what it marks."""

    def __init__(self, count: int) -> None:
        self.rows = [
            {"seq": seq, "id": str(seq), "body": json.dumps({"id": str(seq)})} for seq in range(count)
        ]
        self.settled: list[int] = []

    async def execute(self, sql: str, arguments: Any = None) -> "Store":
        if sql.startswith("UPDATE"):
            self.settled.append(arguments[2])
        return self

    async def fetchall(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["seq"] not in self.settled][:2]

    def transaction(self) -> "Store":
        return self

    connection = transaction

    async def __aenter__(self) -> "Store":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class NoOutbox:
    woken: Any = None


@pytest.mark.parametrize(("header", "wanted"), [("7", 7.0), ("soon", 0.0), ("-1", 0.0), (None, 0.0)])
async def test_a_refusal_carries_what_was_asked_for(header: str | None, wanted: float) -> None:
    store = Store(1)
    pusher: Any = Pusher(store, NoOutbox(), url="http://cp/usage", token="t")  # type: ignore[arg-type]
    headers = {} if header is None else {"Retry-After": header}
    pusher._http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(503, headers=headers))
    )
    with pytest.raises(PushFailed) as refused:
        await pusher.push_all()
    assert (refused.value.wait_s, store.settled) == (wanted, [])
    await pusher.close()


async def test_it_waits_as_asked_and_then_catches_up_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    store, refusals, sent, slept = Store(5), [429, 503], [], []

    def control_plane(request: httpx.Request) -> httpx.Response:
        if refusals:
            return httpx.Response(refusals.pop(), headers={"Retry-After": "30"})
        events = json.loads(request.content)
        sent.extend(event["id"] for event in events)
        results = [{"id": event["id"], "outcome": "accepted"} for event in events]
        counts = {"accepted": len(events), "duplicate": 0, "conflict": 0, "rejected": 0}
        return httpx.Response(200, json={**counts, "results": results})

    pusher: Any = Pusher(store, NoOutbox(), url="http://cp/usage", token="t")  # type: ignore[arg-type]
    pusher._http = httpx.AsyncClient(transport=httpx.MockTransport(control_plane))
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    task = asyncio.create_task(pusher.run())
    async with asyncio.timeout(10):
        while len(store.settled) < 5:
            await real_sleep(0.01)
    task.cancel()
    assert sent == ["0", "1", "2", "3", "4"]
    assert len(slept) == 2
    assert all(30 <= pause <= 45 for pause in slept)
    await pusher.close()
