"""The fence with a real Postgres: what a barred run can still do, and what the sweep leaves."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from structlog.testing import capture_logs

from controlplane.operations import fence
from embedded.databases import administered_database_ensure
from embedded.postgres import postgres_url
from tests.support.services import RunningPostgres

OPERATION = UUID("01920000-0000-7000-8000-000000000001")


@pytest.fixture
def state_url(postgres_server: RunningPostgres, settings: Any) -> str:
    """A state database as `freehold up` makes it."""
    server, password = postgres_server.server, postgres_server.password
    administered_database_ensure(
        server, password, database="fence", owner="fence_owner", login="fence_login", login_password="x" * 20
    )
    url = postgres_url(server, "x" * 20, "fence", user="fence_login")
    settings.PULUMI_BACKEND_URL = url.replace("postgresql://", "postgres://", 1) + "?sslmode=disable"
    return url


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("postgres://", "postgresql://", 1), autocommit=True)


def roles(state_url: str) -> list[str]:
    with connect(state_url) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'freehold_run_')")
        return sorted(row[0] for row in rows)


def test_what_one_lease_makes_the_next_may_use(state_url: str) -> None:
    first, second = uuid4(), uuid4()
    with connect(fence.fence_raise(operation_id=OPERATION, lease_token=first)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS state (key text primary key)")
        connection.execute("INSERT INTO state VALUES ('a')")
    with connect(fence.fence_raise(operation_id=OPERATION, lease_token=second)) as connection:
        connection.execute("UPDATE state SET key = 'b'")
    # An operator's plain `pulumi` uses the common login.
    with connect(state_url) as connection:
        assert connection.execute("SELECT key FROM state").fetchone() == ("b",)
        connection.execute("DROP TABLE state")
    for token in (first, second):
        fence.fence_drop(operation_id=OPERATION, lease_token=token)
    assert roles(state_url) == []


def test_a_barred_lease_writes_nothing_and_does_not_come_back(state_url: str) -> None:
    old, new = uuid4(), uuid4()
    url = fence.fence_raise(operation_id=OPERATION, lease_token=old)
    paused = connect(url)
    paused.execute("CREATE TABLE fenced (n int)")
    assert fence.fence_bar(operation_id=OPERATION)
    with pytest.raises(psycopg.OperationalError):
        paused.execute("INSERT INTO fenced VALUES (1)")
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        connect(url)
    with connect(fence.fence_raise(operation_id=OPERATION, lease_token=new)) as connection:
        assert connection.execute("SELECT count(*) FROM fenced").fetchone() == (0,)
        connection.execute("DROP TABLE fenced")
    assert fence.fences_sweep(current=lambda: {(OPERATION, new)}) == 1
    assert roles(state_url) == [fence.role_name(OPERATION, new)]
    assert fence.fences_sweep(current=set) == 1


def test_a_run_that_begins_during_the_sweep_keeps_its_role(state_url: str) -> None:
    left, begun = uuid4(), uuid4()
    fence.fence_raise(operation_id=OPERATION, lease_token=left)
    urls = []

    def current() -> set[tuple[UUID, UUID]]:
        # Whoever claims now has its lease in the answer or not yet, and its role right after.
        urls.append(fence.fence_raise(operation_id=OPERATION, lease_token=begun))
        return set()

    assert fence.fences_sweep(current=current) == 1
    assert roles(state_url) == [fence.role_name(OPERATION, begun)]
    with connect(urls[0]) as connection:
        connection.execute("SELECT 1")
    assert fence.fences_sweep(current=set) == 1


def test_a_role_is_no_administrator(state_url: str) -> None:
    with connect(fence.fence_raise(operation_id=OPERATION, lease_token=uuid4())) as connection:
        for forbidden in ("CREATE ROLE mine", "ALTER ROLE fence_login NOLOGIN", "CREATE DATABASE mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
    assert fence.fences_sweep(current=set) == 1


def test_without_roles_to_give_the_common_login_is_used(state_url: str, settings: Any) -> None:
    settings.PULUMI_BACKEND_URL = "file:///tmp/none"
    with capture_logs() as logs:
        assert fence.fence_raise(operation_id=OPERATION, lease_token=uuid4()) == "file:///tmp/none"
    assert [entry["event"] for entry in logs] == ["fence.unavailable"]
    assert not fence.fence_bar(operation_id=OPERATION)


def test_a_login_that_may_not_make_roles_has_no_fence(
    postgres_server: RunningPostgres, settings: Any
) -> None:
    # The superuser owns this database: a role that may become it would be no fence at all.
    settings.PULUMI_BACKEND_URL = postgres_server.url("postgres").replace("postgresql://", "postgres://", 1)
    with capture_logs() as logs:
        assert fence.fence_raise(operation_id=OPERATION, lease_token=uuid4()) == settings.PULUMI_BACKEND_URL
    assert [entry["log_level"] for entry in logs] == ["warning"]
