"""Leases are kept from a thread of its own: a loop that is blocked for a while keeps its runs, a dead one does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tenant_runtime.engine import heart
from tenant_runtime.engine.attempts import Held
from tenant_runtime.engine.fence import Fence, fence_enter
from tenant_runtime.engine.heart import Heart, Kept, heart_beating
from tenant_runtime.errors import LeaseLost
from tenant_runtime.ledger.ledger import Ledger
from tests.tenant_runtime.support import runtime_environment, runtime_started

BEAT_S = 0.05


class _Executor:
    def __init__(self) -> None:
        self.item = Held(Fence(uuid4(), 1), time.monotonic())
        self.answers: list[Kept | None] = []

    def held(self) -> list[Held]:
        return [self.item]

    def beaten(self, held: list[Held], kept: Kept | None, *, asked: float) -> None:
        self.answers.append(kept)


class _Renewal:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.raises: Exception | None = None

    async def renew(self, held: list[Fence]) -> dict[UUID, None]:
        if self.raises is not None:
            raise self.raises
        self.times.append(time.monotonic())
        return {fence.run_id: None for fence in held}


@asynccontextmanager
async def _beating(renewal: _Renewal, **options: Any) -> AsyncIterator[_Executor]:
    executor = _Executor()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield renewal

    async with heart_beating(Heart(executor, opened, **options)):
        yield executor


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "new_database" not in request.fixturenames:
        monkeypatch.setattr(heart, "HEARTBEAT_S", BEAT_S)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(BEAT_S)


async def test_a_blocked_loop_keeps_its_leases_and_a_dead_one_does_not() -> None:
    renewal = _Renewal()
    async with _beating(renewal, blocked_s=1.0):
        await asyncio.sleep(4 * BEAT_S)
        begun = time.monotonic()
        time.sleep(2.5)  # noqa: ASYNC251 - the loop is blocked
        woken = time.monotonic()
        await _until(lambda: renewal.times[-1] > woken)
    kept = [at - begun for at in renewal.times if begun < at < woken]
    assert len(kept) > 3, "it was kept while the loop was blocked"
    assert max(kept) < 2.0, "it was given up after that"


async def test_the_executor_hears_of_each_beat_and_of_a_database_that_is_away() -> None:
    renewal = _Renewal()
    async with _beating(renewal) as executor:
        await _until(lambda: bool(executor.answers))
        assert executor.answers[-1] == {executor.item.fence.run_id: None}
        renewal.raises = psycopg.OperationalError("gone")
        await _until(lambda: executor.answers[-1] is None)
    beats = len(renewal.times)
    await asyncio.sleep(4 * BEAT_S)
    assert len(renewal.times) == beats, "the thread has ended"


async def test_a_surprise_does_not_end_the_heartbeat() -> None:
    renewal = _Renewal()
    async with _beating(renewal):
        await _until(lambda: bool(renewal.times))
        renewal.raises = RuntimeError("nobody foresaw this")
        await asyncio.sleep(4 * BEAT_S)
        renewal.raises, beats = None, len(renewal.times)
        await _until(lambda: len(renewal.times) > beats)


async def test_an_agent_that_blocks_for_longer_than_a_lease_runs_once(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    database, manifest = new_database(), test_agents.parent / "blocking.toml"
    environment = runtime_environment(database)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with (
        runtime_started(first, environment, manifest=manifest) as one,
        runtime_started(second, environment, manifest=manifest),
    ):
        answer = await one.sdk().runs.wait(None, "blocking", input={"input": {"seconds": 8}})
    assert answer["output"] == {"slept": 8}
    with psycopg.connect(database) as conn:
        rows = conn.execute("SELECT status, attempt, losses FROM runs").fetchall()
    assert rows == [("success", 1, 0)], "no other worker took it over"


class _Called(BaseException):
    """Not an Exception: what follows a failed call writes to a database, which this test has none of."""


@pytest.mark.parametrize(("overdue", "repeatable", "end"), [
    (True, False, LeaseLost), (True, True, _Called), (False, False, _Called),
])  # fmt: skip
async def test_a_worker_that_stood_still_since_its_intent_makes_no_call_that_must_not_happen_twice(
    overdue: bool, repeatable: bool, end: type[BaseException]
) -> None:
    async def dispatch(*_: object) -> Any:
        raise _Called

    none: Any = None
    account: Any = SimpleNamespace(run_id=str(uuid4()))
    ledger = Ledger(none, none, none, thread_id=uuid4(), account=account)
    step: Any = SimpleNamespace(kind="tool", repeatable=repeatable, idempotency_key=uuid4())
    fence_enter(Fence(uuid4(), 1), overdue=lambda: overdue)
    with pytest.raises(end):
        await ledger._make(step, none, dispatch)
