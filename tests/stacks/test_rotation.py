"""Credentials of two generations beside each other, then of one: old passwords open nothing at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from embedded.processes import processes_marked
from stacks.errors import InputInvalid
from stacks.providers.local.handlers import HANDLERS, Handler, Values
from stacks.providers.local.host import units_boot, units_halt
from tests.stacks.test_handlers import create, inputs, pid_of

POSTGRES = HANDLERS["local:index:PostgresServer"]
REDIS = HANDLERS["local:index:RedisServer"]
RETIREMENT = HANDLERS["local:index:CredentialRetirement"]


class Killed(BaseException):
    pass


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tenants"
    yield folder
    assert [report for report in units_halt(folder) if report.error] == []
    assert processes_marked(str(folder)) == []


def logs_in(url: str) -> bool:
    if url.startswith("redis"):
        try:
            with redis.Redis.from_url(url) as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return False
    try:
        with psycopg.connect(url, connect_timeout=5):
            return True
    except psycopg.OperationalError:
        return False


def retire(values: Values, generation: int) -> None:
    create(RETIREMENT, {"tenant": "acme", "folders": [values["data_dir"]], "credentials": generation})


def test_postgres_logins_overlap_own_nothing_and_retire_with_their_connections(tenants: Path) -> None:
    values = inputs(tenants, "postgres")
    first = create(POSTGRES, values)["url"]
    pid = pid_of(tenants, "postgres")
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    second = create(POSTGRES, {**values, "credentials": 2})["url"]
    assert pid_of(tenants, "postgres") == pid, "a new login needs no restart"
    assert logs_in(first)
    with psycopg.connect(first) as old, psycopg.connect(second, autocommit=True) as new:
        assert new.execute("SELECT current_user, n FROM kept").fetchone() == ("agents", 7)
        new.execute("CREATE TABLE later (n int)")
        retire(values, 2)
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
        new.execute("ALTER TABLE kept ADD COLUMN m int")
        # A login may also act in its own name; that must keep nobody from ending it, nor take data along.
        new.execute("GRANT CREATE ON SCHEMA public TO agents_g2")
        new.execute("GRANT SELECT ON kept TO agents_g2")
        new.execute("SET ROLE NONE")
        new.execute("CREATE TABLE its_own AS SELECT 8 AS n")
    third = create(POSTGRES, {**values, "credentials": 3})["url"]
    retire(values, 3)
    retire(values, 3)
    assert [logs_in(url) for url in (first, second, third)] == [False, False, True]
    with psycopg.connect(third) as connection:
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'agents%' ORDER BY 1")
        assert owners == [("agents",)]
        assert connection.execute("SELECT n FROM its_own").fetchone() == (8,)
        assert roles.fetchall() == [("agents",), ("agents_g3",)]
    # Neither a boot nor a repeated update brings an old one back.
    units_halt(tenants)
    units_boot(tenants)
    assert create(POSTGRES, {**values, "credentials": 3})["url"] == third
    assert [logs_in(url) for url in (first, second, third)] == [False, False, True]


def test_redis_users_overlap_and_retire_and_survive_restarts(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    first = create(REDIS, values)["url"]
    pid = pid_of(tenants, "cache")
    with redis.Redis.from_url(first) as client:
        client.set("kept", "7")
    second = create(REDIS, {**values, "credentials": 2})["url"]
    assert pid_of(tenants, "cache") == pid
    assert [logs_in(url) for url in (first, second)] == [True, True]
    units_halt(tenants)
    units_boot(tenants)
    assert [logs_in(url) for url in (first, second)] == [True, True], "a restart in between loses nobody"
    with redis.Redis.from_url(second) as client:
        assert client.get("kept") == b"7"
        with pytest.raises(redis.ResponseError):
            client.execute_command("ACL", "LIST")
        retire(values, 2)
        retire(values, 2)
        assert client.ping(), "the one in use is not disturbed"
    assert [logs_in(url) for url in (first, second)] == [False, True]
    units_halt(tenants)
    units_boot(tenants)
    third = create(REDIS, {**values, "credentials": 3})["url"]
    retire(values, 3)
    assert [logs_in(url) for url in (first, second, third)] == [False, False, True]


def rotate(handler: Handler[Any], values: Values) -> None:
    create(handler, {**values, "credentials": 2})
    retire(values, 2)


@pytest.mark.parametrize("part", ["postgres", "cache"])
def test_a_kill_between_the_server_and_the_files_is_mended_by_the_next_attempt(
    tenants: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    handler = {"postgres": POSTGRES, "cache": REDIS}[part]
    values = inputs(tenants, part)
    first = create(handler, values)["url"]

    def die(*_: object, **__: object) -> None:
        raise Killed

    for point in ("login_ensure" if part == "postgres" else "redis_user_ensure", "secrets_forget"):
        with monkeypatch.context() as patch:
            patch.setattr(f"stacks.providers.local.units.{point}", die)
            with pytest.raises(Killed):
                rotate(handler, values)
    # What the engine adopts after a kill is looked at, not believed: it is not done.
    retirement = {"tenant": "acme", "folders": [values["data_dir"]], "credentials": 2}
    assert RETIREMENT.read("acme/credentials", retirement) == {**retirement, "retired": False}
    second = create(handler, {**values, "credentials": 2})["url"]
    retire(values, 2)
    assert RETIREMENT.read("acme/credentials", retirement) == {**retirement, "retired": True}
    assert [logs_in(url) for url in (first, second)] == [False, True]
    assert len(list(Path(values["data_dir"]).glob("*.password"))) == 2, "its own, and the provider's"


def test_a_redis_of_an_earlier_release_learns_of_its_keeper_even_after_a_kill(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    first = create(REDIS, values)["url"]
    config = next(Path(values["data_dir"]).rglob("redis.conf"))
    without = [line for line in config.read_text().splitlines() if not line.startswith("user keeper")]
    config.write_text("\n".join(without) + "\n")
    old = pid_of(tenants, "cache")
    # The keeper's file is there: a kill came between it and the restart.
    second = create(REDIS, {**values, "credentials": 2})["url"]
    assert pid_of(tenants, "cache") != old
    retire(values, 2)
    assert [logs_in(url) for url in (first, second)] == [False, True]


def test_a_lost_password_of_redis_is_made_anew_and_let_in(tenants: Path) -> None:
    values = inputs(tenants, "cache")
    first = create(REDIS, values)["url"]
    (Path(values["data_dir"]) / "redis.password").unlink()
    second = REDIS.update(REDIS.parse(values))["url"]
    assert second != first
    assert [logs_in(url) for url in (first, second)] == [False, True]


def test_a_retirement_touches_no_strangers_folder() -> None:
    with pytest.raises(InputInvalid, match="folders"):
        RETIREMENT.parse({"tenant": "acme", "folders": ["/tenants/globex/postgres"], "credentials": 2})
