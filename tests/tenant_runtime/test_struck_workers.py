"""Workers killed or stopped at points of a step, beside living ones: nothing twice, nothing lost, nothing written late.

One of each here; `measure_crashes.py` does the same a hundred times.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.tenant_runtime.rows import rows_changed, rows_read
from tests.tenant_runtime.striking import CASES, Case, killed_in_lanes, lanes_started, paused_in_lanes
from tests.tenant_runtime.test_takeover import TAKEOVER_S

pytestmark = pytest.mark.timeout(300)


def test_another_worker_goes_on_wherever_one_is_killed(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    report = killed_in_lanes(tmp_path, new_database, CASES, lanes=3)
    assert sorted((line["point"], line["tool"]) for line in report) == sorted(
        (case.point, case.tool) for case in CASES
    )
    assert max(line["next_step_s"] for line in report) < TAKEOVER_S


def test_a_worker_that_is_woken_after_its_lease_writes_nothing(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    cases = [case for case in CASES if case.point in ("runtime.tool.dispatched", "runtime.checkpoint.before")]
    report = paused_in_lanes(tmp_path, new_database, cases, lanes=2)
    assert {line["within"] for line in report} == {True, False}
    assert all(line["paused_s"] > 3 for line in report), "nobody took a run whose lease held"


def test_a_woken_worker_that_writes_is_found(tmp_path: Path, new_database: Callable[[], str]) -> None:
    case = Case("runtime.chat.done", "post", asks=False)
    with (
        pytest.raises(AssertionError, match="the woken worker wrote"),
        lanes_started(tmp_path, new_database, 1, plant="unfenced") as ([lane], _),
    ):
        lane.paused(case, "planted", within=False)


def test_a_row_that_comes_goes_or_changes_is_seen(new_database: Callable[[], str]) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE runs (run_id int, status text, lease_until int)")
        conn.execute("INSERT INTO runs VALUES (1, 'running', 1), (2, 'running', 1)")
        before = rows_read(url)
        conn.execute("UPDATE runs SET lease_until = 2")
        assert rows_changed(before, rows_read(url)) == [], "a heartbeat is its own business"
        conn.execute("UPDATE runs SET status = 'error' WHERE run_id = 1")
        conn.execute("DELETE FROM runs WHERE run_id = 2")
        conn.execute("INSERT INTO runs VALUES (3, 'pending', NULL)")
        assert len(rows_changed(before, rows_read(url))) == 4
