"""A database whose password AWS keeps: fetched, fetched again after a rotation, over TLS, and never in a log."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from embedded.databases import database_ensure
from tenant_runtime import database_login
from tenant_runtime.aws_secrets import secret_reader
from tenant_runtime.database_login import Credentials, ManagedLogin
from tenant_runtime.errors import DatabaseUnready, SettingsInvalid
from tenant_runtime.settings import ManagedDatabase, settings_read
from tests.support.services import RunningPostgres
from tests.support.tls_proxy import TlsProxy, tls_proxy
from tests.tenant_runtime.support import runtime_environment, runtime_started, wait_until

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1"
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}


# --- settings ---------------------------------------------------------------------------------------------
@pytest.fixture
def managed(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "ca.pem").write_text("certificates")
    return {
        "RUNTIME_DATABASE_SECRET_ARN": ARN,
        "RUNTIME_DATABASE_HOST": "db.internal",
        "RUNTIME_DATABASE_NAME": "runtime",
        "RUNTIME_DATABASE_CA_FILE": str(tmp_path / "ca.pem"),
        "RUNTIME_API_KEY": "k" * 20,
    }


def test_a_managed_database_is_read(managed: dict[str, str], tmp_path: Path) -> None:
    settings = settings_read(managed)
    assert settings.database_url is None
    assert settings.managed_database == ManagedDatabase(
        ARN, "db.internal", 5432, "runtime", tmp_path / "ca.pem"
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"RUNTIME_DATABASE_URL": "postgresql://u:secret@h/d"}, "RUNTIME_DATABASE_SECRET_ARN"),
        (
            {"RUNTIME_DATABASE_URL": "postgresql://u:secret@h/d", "RUNTIME_DATABASE_SECRET_ARN": ""},
            "RUNTIME_DATABASE_HOST",
        ),
        ({"RUNTIME_DATABASE_SECRET_ARN": ""}, "RUNTIME_DATABASE_SECRET_ARN"),
        ({"RUNTIME_DATABASE_SECRET_ARN": "arn:aws:s3:::bucket"}, "RUNTIME_DATABASE_SECRET_ARN"),
        ({"RUNTIME_DATABASE_HOST": ""}, "RUNTIME_DATABASE_HOST"),
        ({"RUNTIME_DATABASE_NAME": ""}, "RUNTIME_DATABASE_NAME"),
        ({"RUNTIME_DATABASE_PORT": "0"}, "RUNTIME_DATABASE_PORT"),
        ({"RUNTIME_DATABASE_CA_FILE": ""}, "RUNTIME_DATABASE_CA_FILE"),
        ({"RUNTIME_DATABASE_CA_FILE": "/nowhere/ca.pem"}, "RUNTIME_DATABASE_CA_FILE"),
    ],
)
def test_half_a_managed_database_is_refused_by_name(
    managed: dict[str, str], changes: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        settings_read(managed | changes)
    assert refused.value.detail.startswith(f"{name}: found")
    assert "secret@" not in refused.value.detail


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"RUNTIME_VECTOR_API_KEY": "a-key"}, "RUNTIME_VECTOR_API_KEY"),
        (
            {"RUNTIME_VECTOR_API_KEY": "a-key", "RUNTIME_VECTOR_URL": "postgresql://h/d"},
            "RUNTIME_VECTOR_API_KEY",
        ),
        ({"RUNTIME_VECTOR_URL": "weaviate://user:secret@h:8080"}, "RUNTIME_VECTOR_URL"),
        ({"RUNTIME_VECTOR_URL": "qdrant://h:6333/path"}, "RUNTIME_VECTOR_URL"),
        ({"RUNTIME_VECTOR_URL": "http://h:8080"}, "RUNTIME_VECTOR_URL"),
    ],
)
def test_a_vector_store_is_a_host_and_a_key(
    managed: dict[str, str], changes: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        settings_read(managed | changes)
    assert refused.value.detail.startswith(f"{name}: found")
    assert "secret@" not in refused.value.detail
    assert "a-key" not in refused.value.detail


# --- one login --------------------------------------------------------------------------------------------
class Refusal(psycopg.OperationalError):
    """As psycopg raises it once a server asked for the password and did not like it."""

    def __init__(self, *, asked: bool) -> None:
        super().__init__("connection failed")
        self._finished = type("Finished", (), {"used_password": asked})()

    @property
    def pgconn(self) -> Any:
        return self._finished


class Secrets:
    """What Secrets Manager holds, and how often it was asked."""

    def __init__(self, password: str) -> None:
        self.password, self.reads = password, 0
        self.down = False

    async def read(self) -> Credentials:
        self.reads += 1
        await asyncio.sleep(0)
        if self.down:
            raise DatabaseUnready("no secrets today")
        return Credentials("app", self.password)


def _server(accepts: Callable[[], str], tried: list[str]) -> Callable[..., Awaitable[str]]:
    async def via(conninfo: str, **_: Any) -> str:
        tried.append(conninfo)
        await asyncio.sleep(0)
        if f"password={accepts()}" not in conninfo.split():
            raise Refusal(asked=True)
        return "connected"

    return via


@pytest.fixture
def database(tmp_path: Path) -> ManagedDatabase:
    return ManagedDatabase(ARN, "db.internal", 5432, "runtime", tmp_path / "ca.pem")


async def test_a_rotation_is_fetched_once_for_all_connections(
    database: ManagedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_login, "RENEW_S", 0.0)
    secrets, tried = Secrets("old"), list[str]()
    accepted = "old"
    login = ManagedLogin(database, secrets.read)
    via = _server(lambda: accepted, tried)
    assert await login.connect(via) == "connected"
    assert {"host=db.internal", "sslmode=verify-full", f"sslrootcert={database.ca_file}"} <= set(
        tried[0].split()
    )
    accepted = secrets.password = "new"
    assert await asyncio.gather(*(login.connect(via) for _ in range(8))) == ["connected"] * 8
    assert secrets.reads == 2


async def test_a_password_that_stays_wrong_is_not_asked_for_at_every_connection(
    database: ManagedDatabase,
) -> None:
    secrets = Secrets("wrong")
    login = ManagedLogin(database, secrets.read)
    tried = list[str]()
    for _ in range(5):
        with pytest.raises(psycopg.OperationalError):
            await login.connect(_server(lambda: "right", tried))
    assert secrets.reads == 1, "it was fetched a moment ago"
    login._fetched -= database_login.RENEW_S
    for _ in range(5):
        with pytest.raises(psycopg.OperationalError):
            await login.connect(_server(lambda: "right", tried))
    assert secrets.reads == 2
    assert len(tried) == 10, "the same password is not tried twice in one connection"


async def test_what_is_no_matter_of_the_password_does_not_ask_for_it(
    database: ManagedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_login, "RENEW_S", 0.0)
    secrets = Secrets("right")
    login = ManagedLogin(database, secrets.read)

    async def down(_: str, **__: Any) -> str:
        raise Refusal(asked=False)

    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            await login.connect(down)
    assert secrets.reads == 1


async def test_secrets_manager_out_of_reach_leaves_the_refusal(
    database: ManagedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_login, "RENEW_S", 0.0)
    secrets = Secrets("old")
    login = ManagedLogin(database, secrets.read)
    await login.credentials()
    secrets.down = True
    with pytest.raises(Refusal):
        await login.connect(_server(lambda: "new", []))


# --- the real parts ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secretsmanager(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {**AWS, "AWS_ENDPOINT_URL_SECRETS_MANAGER": moto}.items():
        monkeypatch.setenv(name, value)
    session: Any = boto3.session.Session(region_name="eu-central-1")
    return session.client("secretsmanager")


def _kept(client: Any, text: str) -> str:
    return str(client.create_secret(Name=f"rds!{uuid.uuid4()}", SecretString=text)["ARN"])


async def test_the_secret_is_fetched_from_secrets_manager(secretsmanager: Any) -> None:
    arn = _kept(secretsmanager, json.dumps({"username": "app", "password": "p4ss", "engine": "postgres"}))
    assert await secret_reader(arn)() == {"username": "app", "password": "p4ss"}


@pytest.mark.parametrize(
    "text", ["hunter2", '{"password": "hunter2"}', '["hunter2"]', '{"username": 1, "password": "hunter2"}']
)
async def test_a_secret_of_another_shape_is_told_and_not_repeated(secretsmanager: Any, text: str) -> None:
    with pytest.raises(DatabaseUnready, match="another shape") as refused:
        await secret_reader(_kept(secretsmanager, text))()
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_secret_that_is_not_there_is_told(secretsmanager: Any) -> None:
    with pytest.raises(DatabaseUnready, match=r"RUNTIME_DATABASE_SECRET_ARN: .*ResourceNotFoundException"):
        await secret_reader(ARN)()


def test_without_boto3_the_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingsInvalid, match="boto3 is not installed"):
        secret_reader(ARN)


@pytest.fixture
def tls(tmp_path: Path, postgres_server: RunningPostgres) -> Iterator[TlsProxy]:
    with tls_proxy(tmp_path, postgres_server.server.port) as proxy:
        yield proxy


def _environment(arn: str, name: str, tls: TlsProxy, moto: str) -> dict[str, str]:
    environment = runtime_environment(
        "", **AWS, AWS_ENDPOINT_URL_SECRETS_MANAGER=moto, RUNTIME_LOG_LEVEL="debug",
        RUNTIME_DATABASE_SECRET_ARN=arn, RUNTIME_DATABASE_HOST="localhost", RUNTIME_DATABASE_NAME=name,
        RUNTIME_DATABASE_PORT=str(tls.port), RUNTIME_DATABASE_CA_FILE=str(tls.ca_file),
    )  # fmt: skip
    del environment["RUNTIME_DATABASE_URL"]
    return environment


async def test_a_rotation_under_a_living_runtime(
    tmp_path: Path, postgres_server: RunningPostgres, tls: TlsProxy, moto: str, secretsmanager: Any
) -> None:
    """RDS changes the password, then the secret; the connections it cuts come back with the new one."""
    name = f"rt_{uuid.uuid4().hex[:10]}"
    database_ensure(
        postgres_server.server, postgres_server.password, database=name, owner=name,
        owner_password="first-password-1", extensions=("vector",),
    )  # fmt: skip

    def secret(password: str) -> str:
        return json.dumps({"username": name, "password": password})

    arn = _kept(secretsmanager, secret("first-password-1"))
    question = {"messages": [{"role": "user", "content": "Do rotations matter?"}]}
    with runtime_started(tmp_path, _environment(arn, name, tls, moto)) as runtime:
        assert runtime.ingest({"path": "a", "text": "Rotations matter little."})["created"] == 1
        with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {name} PASSWORD 'second-password-2'")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
            with runtime.http(None) as http:
                wait_until(lambda: http.get("/ready").status_code == 503, 20, "the refusal to show")
                secretsmanager.put_secret_value(SecretId=arn, SecretString=secret("second-password-2"))
                wait_until(lambda: http.get("/ready").status_code == 200, 60, "the new password")
        values = await runtime.sdk().runs.wait(None, "document_analyst", input=question)
        assert "matter little" in values["answer"]
        log = runtime.log.read_text()
    assert "fetched again after a rotation" in log
    assert "-password-" not in log
    assert tls.refused == 0


def test_a_server_of_another_name_is_refused(
    tmp_path: Path, postgres_server: RunningPostgres, moto: str, secretsmanager: Any
) -> None:
    arn = _kept(secretsmanager, json.dumps({"username": "app", "password": "the-password-1"}))
    with tls_proxy(tmp_path, postgres_server.server.port, host="elsewhere.example") as elsewhere:
        done = subprocess.run(
            [sys.executable, "-m", "tenant_runtime", "serve", "--port", "1"],
            env=_environment(arn, "freehold", elsewhere, moto),
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "RUNTIME_DATABASE_SECRET_ARN: no connection" in done.stderr.splitlines()[-1]
    assert "the-password-1" not in done.stderr
