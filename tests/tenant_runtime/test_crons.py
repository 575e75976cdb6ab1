"""Crons: when they are due, and that each moment begins one run, over replicas and after an outage."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tenant_runtime.crons.schedule import next_due, schedule_check
from tenant_runtime.errors import Invalid
from tests.tenant_runtime.support import ADMIN_KEY, runtime_environment, runtime_started, wait_until


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("0 9 * * *", None, "2026-11-22T08:59:59", "2026-11-22T09:00:00"),
        ("0 9 * * *", None, "2026-11-22T09:00:00", "2026-11-23T09:00:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T06:00:00", "2026-07-01T07:00:00"),
        ("0 9 * * *", "Europe/Berlin", "2026-12-01T06:00:00", "2026-12-01T08:00:00"),
        ("0 9 * * 1-5", "America/New_York", "2026-11-20T20:00:00", "2026-11-23T14:00:00"),
        ("*/15 * * * *", "Asia/Kolkata", "2026-11-22T00:01:00", "2026-11-22T00:15:00"),
        # The hour that comes twice: the moment is one of the two, and the next is a day later.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:31:00", "2026-10-26T01:30:00"),
        ("@monthly", None, "2026-11-22T00:00:00", "2026-12-01T00:00:00"),
    ],
)  # fmt: skip
def test_when_a_cron_is_due(schedule: str, zone: str | None, after: str, due: str) -> None:
    schedule_check(schedule, zone)
    assert next_due(schedule, zone, after=_at(after), end_time=None) == _at(due)


def test_after_its_end_it_is_due_no_more() -> None:
    after, end = _at("2026-11-22T00:00:00"), _at("2026-11-22T09:00:00")
    assert next_due("0 9 * * *", None, after=after, end_time=end) == end
    assert next_due("0 9 * * *", None, after=end, end_time=end) is None


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        ("", None), ("* * * *", None), ("* * * * * *", None), ("61 * * * *", None), ("0 0 30 2 *", None),
        ("x y z a b", None), ("* * * * *", "Nowhere/Land"), ("* * * * *", "../etc/passwd"), ("@never", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(schedule: str, zone: str | None) -> None:
    with pytest.raises(Invalid):
        schedule_check(schedule, zone)


def _due(url: str, cron_id: str, ago: str) -> None:
    """Moves a cron's next moment into the past, as an outage of that length would leave it."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "UPDATE crons SET next_run_date = now() - %s::interval WHERE cron_id = %s", [ago, cron_id]
        )


def _rows(url: str, cron_id: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(
            "SELECT run_id, thread_id, status, principal FROM runs WHERE metadata->>'cron_id' = %s ORDER BY seq",
            [cron_id],
        ).fetchall()


async def test_each_moment_begins_one_run_over_replicas_and_outages(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url = new_database()
    environment = runtime_environment(url)
    with (
        runtime_started(tmp_path, environment, manifest=test_agents) as first,
        runtime_started(tmp_path, environment, manifest=test_agents),
    ):
        client = first.sdk()
        thread = (await client.threads.create())["thread_id"]
        every = [
            await client.crons.create_for_thread(thread, "slow", schedule="0 0 1 1 *", input={"steps": 1})
            for _ in range(6)
        ]
        for cron in every:
            _due(url, cron["cron_id"], "3 days")
        wait_until(lambda: all(_rows(url, cron["cron_id"]) for cron in every), 20, "the crons to fire")
        for _ in range(3):
            _due(url, every[0]["cron_id"], "1 hour")
            count = len(_rows(url, every[0]["cron_id"]))
            wait_until(lambda count=count: len(_rows(url, every[0]["cron_id"])) > count, 10, "another moment")
        assert [len(_rows(url, cron["cron_id"])) for cron in every] == [4, 1, 1, 1, 1, 1]
        assert {row[1] for cron in every for row in _rows(url, cron["cron_id"])} == {uuid.UUID(thread)}
        found = (await client.crons.search(thread_id=thread, limit=1))[0]
        assert found["next_run_date"] > "2027"

        # Without a thread: one of its own each time, kept only where the cron says so.
        gone = await client.crons.create("slow", schedule="0 0 1 1 *", input={"steps": 1})
        kept = await client.crons.create(
            "slow", schedule="0 0 1 1 *", input={"steps": 1}, on_run_completed="keep", metadata={"k": 1}
        )
        for cron in (gone, kept):
            _due(url, cron["cron_id"], "1 minute")
            wait_until(lambda cron=cron: _rows(url, cron["cron_id"]), 10, "it to fire")
        with psycopg.connect(url) as conn:
            ephemeral = dict(
                conn.execute(
                    "SELECT r.metadata->>'cron_id', t.ephemeral FROM runs r JOIN threads t USING (thread_id) "
                    "WHERE r.metadata ? 'cron_id' AND r.thread_id <> %s",
                    [thread],
                ).fetchall()
            )
        assert ephemeral == {gone["cron_id"]: True, kept["cron_id"]: False}

        # Switched off, or while new runs are refused, nothing begins; what was missed then is one run.
        await client.crons.update(kept["cron_id"], enabled=False)
        _due(url, kept["cron_id"], "1 minute")
        with first.http(ADMIN_KEY) as admin:
            admin.post("/admin/pause", json={"reason": "budget", "hint": "top up"}).raise_for_status()
            _due(url, gone["cron_id"], "1 minute")
            await asyncio.sleep(3)
            assert [len(_rows(url, cron["cron_id"])) for cron in (gone, kept)] == [1, 1]
            admin.post("/admin/resume").raise_for_status()
        wait_until(lambda: len(_rows(url, gone["cron_id"])) == 2, 10, "what was missed to be made up for")
        assert len(_rows(url, kept["cron_id"])) == 1

        # One that cannot begin says why, and waits for its next moment.
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("UPDATE crons SET assistant_id = 'nobody' WHERE cron_id = %s", [gone["cron_id"]])
        _due(url, gone["cron_id"], "1 minute")

        def error() -> str:
            with first.http() as http:
                return str(http.get(f"/runs/crons/{gone['cron_id']}").json()["last_error"] or "")

        assert "assistant_not_found" in wait_until(error, 10, "the error to be kept")
