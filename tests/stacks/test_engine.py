"""A tenant's life on this machine, driven by the real Pulumi CLI."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pulumi import automation as auto

from contracts.stack import GpuSize, PostgresSize, StackOutputs, StackSpec
from embedded.ports import free_port, port_is_free
from embedded.processes import processes_marked
from stacks.providers.local.handlers import physical_id
from tests.stacks.conftest import Host
from tests.stacks.engine import Engine

pytestmark = pytest.mark.engine

SECRET_OUTPUTS = {"postgres_url", "redis_url", "vector_url", "runtime_admin_key"}


def sql(url: str, statement: str) -> Any:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def pids(host: Host) -> dict[str, int]:
    return {f"{unit['tenant']}/{unit['name']}": unit["pid"] for unit in host("list")}  # type: ignore[misc]


def test_a_tenant_lives_is_hurt_recovers_and_leaves_nothing(engine: Engine) -> None:
    spec = engine.spec("acme", gpu=GpuSize(count=1))
    stack = engine.stack(spec)
    host = Host(engine.tenants)

    created = stack.up()
    assert created.summary.resource_changes == {"create": 13}
    _check_outputs(created.outputs, spec)
    _check_no_plaintext(stack, engine, created.outputs)
    database = created.outputs["postgres_url"].value
    sql(database, "CREATE TABLE kept AS SELECT 7 AS n")
    assert stack.preview().change_summary == {"same": 13}

    os.kill(pids(host)["acme/postgres"], signal.SIGKILL)
    refreshed = stack.refresh()
    assert refreshed.summary.resource_changes == {"same": 12, "update": 1}
    planned = stack.preview()
    assert planned.change_summary == {"same": 12, "update": 1}
    repaired = stack.up()
    assert repaired.summary.resource_changes == {"same": 12, "update": 1}
    assert repaired.outputs["postgres_url"].value == database
    assert sql(database, "SELECT n FROM kept") == (7,)

    grown = engine.stack(spec.model_copy(update={"postgres": PostgresSize(max_connections=60)})).up()
    assert grown.summary.resource_changes == {"same": 12, "update": 1}
    assert sql(database, "SHOW max_connections") == ("60",)
    assert sql(database, "SELECT n FROM kept") == (7,)

    destroyed = stack.destroy()
    assert destroyed.summary.resource_changes == {"delete": 13}
    assert not (engine.tenants / "acme").exists()
    assert processes_marked(str(engine.tenants)) == []
    ports = spec.local.ports if spec.local else None
    assert ports is not None
    assert all(port_is_free(port) for port in ports.model_dump().values())
    assert stack.destroy().summary.resource_changes in (None, {})


def test_a_taken_port_is_named_and_the_next_up_goes_through(engine: Engine) -> None:
    spec = engine.spec("acme")
    assert spec.local is not None
    port = spec.local.ports.cache
    stack = engine.stack(spec)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with pytest.raises(auto.CommandError, match=rf"port {port} .* taken by pid {os.getpid()}"):
            stack.up()
    assert not (engine.tenants / "acme" / "cache").exists()
    done = stack.up()
    with redis.Redis.from_url(done.outputs["redis_url"].value) as client:
        assert client.ping()
    stack.destroy()


def test_moving_a_server_to_another_port_is_previewed_and_carried_to_the_runtime(engine: Engine) -> None:
    spec = engine.spec("acme")
    created = engine.stack(spec).up()
    assert spec.local is not None
    sql(created.outputs["postgres_url"].value, "CREATE TABLE kept AS SELECT 7 AS n")
    ports = spec.local.ports.model_copy(update={"postgres": free_port()})
    moved = engine.stack(spec.model_copy(update={"local": spec.local.model_copy(update={"ports": ports})}))
    assert moved.preview().change_summary == {"same": 11, "update": 2}
    outputs = moved.up().outputs
    assert f":{ports.postgres}/" in outputs["postgres_url"].value
    assert sql(outputs["postgres_url"].value, "SELECT n FROM kept") == (7,)
    _check_outputs(outputs, spec)
    moved.destroy()


def test_two_tenants_share_no_process_folder_or_password(engine: Engine) -> None:
    host = Host(engine.tenants)
    stacks = {slug: engine.stack(engine.spec(slug)) for slug in ("acme", "globex")}
    outputs = {slug: stack.up().outputs for slug, stack in stacks.items()}
    running = pids(host)
    assert len(running) == 8
    assert len(set(running.values())) == 8
    for unit, pid in running.items():
        argv = " ".join(psutil.Process(pid).cmdline())
        assert f"/{unit.split('/')[0]}/" in argv
    for name in SECRET_OUTPUTS:
        assert outputs["acme"][name].value != outputs["globex"][name].value
    acme, globex = (outputs[slug]["postgres_url"].value for slug in ("acme", "globex"))
    crossed = f"{acme.rpartition('@')[0]}@{globex.rpartition('@')[2]}"
    with pytest.raises(Exception, match="password authentication failed"):
        sql(crossed, "SELECT 1")
    stacks["acme"].destroy()
    assert {unit.split("/")[0] for unit in pids(host)} == {"globex"}
    assert sql(globex, "SELECT 1") == (1,)
    stacks["globex"].destroy()


def test_the_machine_is_halted_and_booted_again(engine: Engine) -> None:
    host = Host(engine.tenants)
    stack = engine.stack(engine.spec("acme"))
    url = stack.up().outputs["postgres_url"].value
    sql(url, "CREATE TABLE kept AS SELECT 7 AS n")
    before = pids(host)

    halted = host("halt")
    assert [(unit["name"], unit["state"], unit["pid"]) for unit in halted] == [
        (name, "stopped", None) for name in ("cache", "postgres", "runtime", "vector_store")
    ]
    assert processes_marked(str(engine.tenants)) == []
    assert host("halt") == halted

    booted = host("boot")
    assert {unit["state"] for unit in booted} == {"running"}
    assert pids(host).keys() == before.keys()
    assert not set(pids(host).values()) & set(before.values())
    assert host("boot") == booted
    assert sql(url, "SELECT n FROM kept") == (7,)
    # A boot changed nothing the engine would want to change back.
    assert stack.refresh().summary.resource_changes == {"same": 13}
    assert stack.preview().change_summary == {"same": 13}
    stack.destroy()


def test_a_killed_engine_leaves_what_the_next_one_adopts(engine: Engine) -> None:
    """The record of a creation is lost with the engine; the physical id brings the resource back."""
    spec = engine.spec("acme")
    stack = engine.stack(spec)
    runner = subprocess.Popen(
        [sys.executable, "-c", _UP_IN_A_CHILD, str(engine.home), spec.model_dump_json()],
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    data = engine.tenants / "acme" / "postgres" / "data"
    deadline = time.monotonic() + 60
    while not data.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    children = psutil.Process(runner.pid).children(recursive=True)
    plugins = [child.pid for child in children if _runs(child, "pulumi-resource-local")]
    for engine_process in [*(child for child in children if child.name() == "pulumi"), runner]:
        engine_process.kill()
    runner.wait()
    # The orphaned provider finishes what it does and ends by itself.
    assert plugins
    assert all(_ends(pid, 30) for pid in plugins)

    stack.cancel()
    assert _adopt_pending(stack) >= 1
    assert stack.up().summary.resource_changes is not None
    assert len(pids(Host(engine.tenants))) == 4
    assert stack.preview().change_summary == {"same": 13}
    stack.destroy()
    assert not (engine.tenants / "acme").exists()


_UP_IN_A_CHILD = """
import sys
from pathlib import Path
from contracts.stack import StackSpec
from tests.stacks import engine as support
home = Path(sys.argv[1])
engine = support.Engine(home, support.engine_environment(home), support.pulumi_command())
engine.stack(StackSpec.model_validate_json(sys.argv[2])).up()
"""


def _adopt_pending(stack: auto.Stack) -> int:
    """What the control plane does after a crash: pending creations become resources, then a refresh."""
    adopted = 0
    state = stack.export_stack()
    body = state.deployment
    for operation in body.pop("pending_operations", None) or []:
        resource = operation["resource"]
        if operation["type"] != "creating" or not resource["type"].startswith("local:"):
            continue
        resource["id"] = physical_id(resource["type"], resource["inputs"])
        resource["outputs"] = resource["inputs"]
        body["resources"].append(resource)
        adopted += 1
    stack.import_stack(state)
    stack.refresh()
    return adopted


def _runs(process: psutil.Process, program: str) -> bool:
    try:
        return any(part.endswith(f"/{program}") for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _ends(pid: int, timeout_s: float) -> bool:
    try:
        psutil.Process(pid).wait(timeout_s)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_the_real_runtime_is_deployed_and_comes_back_after_a_kill(engine: Engine) -> None:
    del engine.environment["FREEHOLD_RUNTIME_MODULE"]
    host = Host(engine.tenants)
    stack = engine.stack(engine.spec("acme"))
    url = StackOutputs.model_validate(stack.up().outputs["outputs"].value).runtime_url
    _check_ready(url)
    os.kill(pids(host)["acme/runtime"], signal.SIGKILL)
    assert {unit["name"] for unit in host("list") if unit["state"] == "stopped"} == {"runtime"}
    host("boot")
    _check_ready(url)
    stack.destroy()


def _check_ready(url: str) -> None:
    with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
        assert answer.status == 200


def _check_outputs(outputs: auto.OutputMap, spec: StackSpec) -> None:
    assert {name for name, output in outputs.items() if output.secret} == SECRET_OUTPUTS
    told = StackOutputs.model_validate(outputs["outputs"].value)
    assert [part.kind for part in told.components] == [
        "postgres",
        "cache",
        "vector_store",
        "gpu_pool",
        "runtime",
    ]
    slots = {(item.meter, item.slot) for item in told.billable if item.meter != "gpu_hours"}
    assert slots == {("runtime_hours", 0), *(("database_hours", slot) for slot in range(3))}
    assert sql(outputs["vector_url"].value, "SELECT '[1,2]'::vector <-> '[1,4]'") == (2.0,)
    with urllib.request.urlopen(f"{told.runtime_url}/environment", timeout=5) as answer:
        environment = json.load(answer)
    assert environment["RUNTIME_TENANT"] == spec.slug
    assert environment["RUNTIME_DATABASE_URL_FILE"] == outputs["postgres_url"].value
    assert environment["RUNTIME_REDIS_URL_FILE"] == outputs["redis_url"].value
    assert environment["RUNTIME_VECTOR_URL_FILE"] == outputs["vector_url"].value
    assert environment["RUNTIME_ADMIN_KEY_FILE"] == outputs["runtime_admin_key"].value
    assert not [name for name in environment if name.startswith("PULUMI")]


def _check_no_plaintext(stack: auto.Stack, engine: Engine, outputs: auto.OutputMap) -> None:
    """Neither the state, nor a process list, nor a log holds a secret."""
    secrets = [outputs[name].value for name in SECRET_OUTPUTS]
    secrets += [url.partition("://")[2].partition("@")[0].partition(":")[2] for url in secrets if "@" in url]
    secrets += [path.read_text() for path in engine.tenants.rglob("*.password")]
    secrets.append(engine.secrets("acme").usage_token)
    state = subprocess.run(
        [stack.workspace.pulumi_command.command, "stack", "export", "--stack", stack.name],
        env=os.environ | engine.environment,
        cwd=stack.workspace.work_dir,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = [state, *(path.read_text() for path in engine.tenants.rglob("*.log"))]
    for process in psutil.process_iter():
        try:
            shown.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    shown += [path.read_text() for path in engine.tenants.rglob("unit.json")]
    assert not [secret for secret in secrets for text in shown if secret in text]
    assert "ciphertext" in state


def test_a_plan_alone_makes_nothing_on_the_machine(engine: Engine) -> None:
    stack = engine.stack(engine.spec("acme"))
    assert stack.preview().change_summary == {"create": 13}
    assert not engine.tenants.exists()
