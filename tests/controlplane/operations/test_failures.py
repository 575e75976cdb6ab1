"""Causes of failures, recognised in real words: of the engine, the provider and the servers."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pulumi
import pytest
from pulumi import automation as auto

from contracts.engine import RunnerJob
from contracts.planned import AssessmentJob
from controlplane.operations.failures import CAUSES, cause_of, failure
from controlplane.operations.translate import PhaseLog, failure_of
from tests.stacks.engine import REPOSITORY, Engine
from tests.support.services import RunningPostgres

#: Words as the real programs wrote them.
HEARD = {
    "port 21003 on 127.0.0.1 is taken by python3 (pid 17), so the runtime of tenant acme cannot listen": "port_taken",
    "No space left on device: /data/postgres.building": "disk_full",
    'could not extend file "base/5/16384": No space left on device': "disk_full",
    "FATAL:  could not map anonymous shared memory: Cannot allocate memory": "out_of_memory",
    "rpc error: code = Unavailable desc = error reading from server: EOF": "provider_crashed",
    "unexpected KeyError in the provider": "provider_crashed",
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process": "stack_locked",
    "error: incorrect passphrase": "passphrase_wrong",
    'failed to ping PostgreSQL: FATAL: role "op1" is not permitted to log in (SQLSTATE 28000)': "backend_denied",
    "Postgres of /t/acme/postgres/data on port 21000 is not ready: the server ended. Its log": "postgres_not_ready",
    "Redis of /t/acme/cache/data on port 21001 is not ready: no answer. Its log ends with": "redis_not_ready",
    "the runtime of tenant acme at http://127.0.0.1:21003/ready is not ready: 503.": "runtime_not_ready",
    "a new process of the runtime of tenant acme did not become ready; the old one goes on.": "runtime_not_ready",
    "initdb failed for /t/acme/postgres/data: boom": "server_setup_failed",
    'Postgres on port 21000 refused: ERROR:  role "agents_g2" cannot be dropped': "server_setup_failed",
    "Redis on port 21001 refused ACL SETUSER: -NOPERM this user has no permissions": "server_setup_failed",
    "Redis on port 21001 does not answer: [Errno 111] Connect call failed": "server_setup_failed",
    "another process has worked on /t/acme/cache for 30 s: wait for it, then try again": "unit_busy",
    "/t/acme/cache/redis.password is missing, so nobody can log in to what it opens: put": "unit_broken",
    "release 0.0.9 of the runtime is not installed: /f/runtimes/0.0.9/bin/python is missing.": "release_missing",
    "Permission denied: /t/acme": "permission_denied",
    "error: update canceled": "engine_canceled",
    "snapshot integrity failure; it was already written, but is invalid": "state_conflict",
    "1 validation error for PostgresInputs\nmax_connections": "input_invalid",
}


@pytest.mark.parametrize(("words", "code"), HEARD.items())
def test_words_tell_of_a_cause(words: str, code: str) -> None:
    cause = cause_of(words)
    assert cause is not None
    assert cause.code == code


@pytest.mark.parametrize("words", ["", "something unheard of", "resource acme-port created", "memory: 16 MB"])
def test_other_words_tell_of_none(words: str) -> None:
    assert cause_of(words) is None


def test_every_cause_says_what_to_do_next() -> None:
    assert len({cause.code for cause in CAUSES}) == len(CAUSES)
    for cause in CAUSES:
        assert cause.sentence[0].islower() or cause.sentence.startswith(("Postgres", "Redis")), cause.code
        assert cause.hint.endswith("."), cause.code
        assert cause.command.startswith("freehold "), cause.code
        assert cause.command in failure(cause.code, what="Applying failed", detail="")["hint"]


def test_the_sentence_the_hint_and_the_raw_words() -> None:
    log = PhaseLog("up")
    urn = "urn:pulumi:acme::freehold::freehold:local:Runtime$local:index:RuntimeProcess::runtime-process"
    words = "port 21003 on 127.0.0.1 is taken by python3 (pid 17), so the runtime cannot listen there"
    log.failed.append(urn)
    log.errors += [{"urn": "", "message": "update failed"}, {"urn": urn, "message": words}]
    told = failure_of(log, RuntimeError("whatever"))
    assert told["code"] == "port_taken"
    assert told["title"] == (
        "Applying failed at local:index:RuntimeProcess 'runtime-process': "
        "another process listens on a port it needs"
    )
    assert "freehold operations retry ID" in told["hint"]
    assert told["detail"] == words
    assert failure_of(PhaseLog("preview"), RuntimeError("odd"))["code"] == "pulumi_failed"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.at(tmp_path_factory.mktemp("failures") / "home")


def run(engine: Engine, slug: str, **changed: str) -> dict[str, Any]:
    """The failure that the real runner reports of a real preview in this environment."""
    spec = engine.spec(slug)
    work_dir = engine.home / "work" / uuid4().hex
    work_dir.mkdir(parents=True)
    environment = {
        **engine.environment,
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        **changed,
    }
    job = RunnerJob(
        operation_id=uuid4(),
        action="preview",
        spec=spec,
        secrets=engine.secrets(slug),
        pulumi_root=str(REPOSITORY / ".tools"),
        work_dir=str(work_dir),
        env=environment,
        assessment=AssessmentJob(today=date(2026, 11, 21)),
    )
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.operations.runner"],
        input=job.model_dump_json() + "\n",
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (failed,) = [event["data"] for event in events if event["kind"] == "failed"]
    assert "planted-pass" not in done.stdout + done.stderr
    return dict(failed)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (
            {"PULUMI_BACKEND_URL": "postgres://a:planted-pass@127.0.0.1:1/x?sslmode=disable"},
            "backend_unreachable",
        ),
        ({"PULUMI_BACKEND_URL": "file:///nowhere/at/all"}, "backend_unreachable"),
        ({"PULUMI_CONFIG_PASSPHRASE_FILE": "/nowhere/passphrase"}, "passphrase_wrong"),
        ({"PATH": "/usr/bin:/bin"}, "provider_missing"),
    ],
)
def test_the_real_engine_is_understood(engine: Engine, changed: dict[str, str], code: str) -> None:
    told = run(engine, "acme", **changed)
    assert told["code"] == code, told
    assert told["detail"].strip()


@pytest.mark.engine
def test_a_refused_login_to_the_state_is_understood(engine: Engine, postgres_server: RunningPostgres) -> None:
    url = postgres_server.url().replace(postgres_server.password, "planted-pass")
    told = run(engine, "acme", PULUMI_BACKEND_URL=f"{url.replace('postgresql', 'postgres')}?sslmode=disable")
    assert told["code"] == "backend_denied", told


@pytest.mark.engine
def test_another_passphrase_and_a_lock_are_understood(engine: Engine, tmp_path: Path) -> None:
    def program() -> None:
        pulumi.export("hidden", pulumi.Output.secret("value"))

    stack = auto.create_or_select_stack(
        stack_name="organization/freehold/locked",
        project_name="freehold",
        program=program,
        opts=auto.LocalWorkspaceOptions(
            work_dir=str(tmp_path),
            env_vars=engine.environment,
            pulumi_command=engine.command,
            project_settings=auto.ProjectSettings(name="freehold", runtime="python"),
        ),
    )
    stack.up()
    other = tmp_path / "other"
    other.write_text("another horse")
    told = run(engine, "locked", PULUMI_CONFIG_PASSPHRASE_FILE=str(other))
    assert told["code"] == "passphrase_wrong", told
    locks = next((engine.home / "state").rglob("stacks")).parent / "locks/organization/freehold/locked"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / f"{uuid4()}.json").write_text(
        '{"pid": 1, "username": "x", "hostname": "y", "timestamp": "2026-01-01T00:00:00Z"}'
    )
    with pytest.raises(auto.ConcurrentUpdateError) as caught:
        stack.up()
    assert failure_of(PhaseLog("up"), caught.value)["code"] == "stack_locked"
