"""The main job through public verbs: the command, the API, the real langgraph-sdk client, the plain Pulumi CLI."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.scenarios.conftest import RunningFreehold

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(900)]
#: Every tenant the scenarios make.
SLUGS = ("acme", "globex", "stark-labs", "umbrella-health", "wayne-works")
PARTS = ("postgres", "redis", "web", "worker", "scheduler")


def pulumi(freehold: RunningFreehold, *arguments: str) -> str:
    facts = freehold.up["pulumi"]
    env = {
        **freehold.env,
        "PULUMI_BACKEND_URL": facts["backend_url"],
        "PULUMI_CONFIG_PASSPHRASE_FILE": facts["passphrase_file"],
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_HOME": str(freehold.home / "plain-pulumi"),
    }
    done = subprocess.run([facts["cli"], *arguments], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def create(freehold: RunningFreehold, slug: str) -> dict[str, Any]:
    body = {"slug": slug, "name": slug, "plan": "starter", "target": "local"}
    answer = freehold.call("POST", "/tenants", body)
    assert answer.status_code == 202, answer.text
    operation = freehold.wait(answer.json()["operation"]["id"])
    assert operation["state"] == "succeeded", operation["error"]
    return dict(freehold.call("GET", f"/tenants/{slug}").json())


def delete(freehold: RunningFreehold, slug: str) -> dict[str, str]:
    """Step -> what it said."""
    asked = freehold.call("DELETE", f"/tenants/{slug}").json()["operation"]
    operation = freehold.wait(asked["id"])
    assert operation["state"] == "succeeded"
    return {step["name"]: step["detail"] for step in operation["steps"]}


def tenant_processes(freehold: RunningFreehold, slug: str) -> list[psutil.Process]:
    marker = str(freehold.home / "tenants" / slug)
    found = []
    for process in psutil.process_iter():
        try:
            if any(marker in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_up_writes_what_the_contract_names(freehold: RunningFreehold) -> None:
    up = freehold.up
    assert set(up) >= {"portal_url", "api_url", "admin", "api_key", "tenant", "timings", "pulumi"}
    assert stat.S_IMODE((freehold.home / "up.json").stat().st_mode) == 0o600
    assert all(up["timings"][name] > 0 for name in ("total_s", "provision_s", "agent_run_s"))
    names = {row["name"]: row["state"] for row in freehold.json("status")["processes"]}
    assert {name: names[name] for name in PARTS} == dict.fromkeys(PARTS, "running")
    assert {f"acme/{part}" for part in ("postgres", "cache", "vector_store", "runtime")} <= set(names)


def test_a_second_up_reuses_what_runs(freehold: RunningFreehold) -> None:
    before = {row["name"]: row["pid"] for row in freehold.json("status")["processes"]}
    done = freehold.command("up")
    assert done.returncode == 0, done.stderr
    assert "Freehold is up." in done.stdout
    assert {row["name"]: row["pid"] for row in freehold.json("status")["processes"]} == before


def test_the_plain_pulumi_command_sees_the_stack(freehold: RunningFreehold) -> None:
    stacks = json.loads(pulumi(freehold, "stack", "ls", "--all", "--json"))
    assert freehold.up["pulumi"]["stack"] in [row["name"] for row in stacks]
    exported = pulumi(freehold, "stack", "export", "--stack", freehold.up["pulumi"]["stack"])
    types = {resource["type"] for resource in json.loads(exported)["deployment"]["resources"]}
    assert {"local:index:PostgresServer", "local:index:RedisServer", "local:index:RuntimeProcess"} <= types
    assert freehold.up["tenant"]["runtime_api_key"] not in exported


async def test_the_langgraph_client_runs_the_example_agent(freehold: RunningFreehold) -> None:
    tenant = freehold.up["tenant"]
    client = get_client(url=tenant["runtime_url"], api_key=tenant["runtime_api_key"])
    thread = await client.threads.create()
    question = {
        "messages": [{"role": "user", "content": "What happens when the worker of an operation dies?"}]
    }
    values = await client.runs.wait(thread["thread_id"], "document_analyst", input=question)
    assert isinstance(values, dict)
    assert values["citations"]
    assert values["messages"][-1]["content"]
    modes = [
        part.event
        async for part in client.runs.stream(
            thread["thread_id"], "document_analyst", input=question, stream_mode=["updates"]
        )
    ]
    assert "metadata" in modes[0]
    assert modes.count("updates") >= 3
    state = await client.threads.get_state(thread["thread_id"])
    assert len(state["values"]["messages"]) >= 4


def test_two_tenants_share_nothing_and_a_deleted_one_leaves_nothing(freehold: RunningFreehold) -> None:
    globex = create(freehold, "globex")
    ours, theirs = tenant_processes(freehold, "acme"), tenant_processes(freehold, "globex")
    assert ours
    assert theirs
    assert not {p.pid for p in ours} & {p.pid for p in theirs}
    for process in theirs:
        for connection in process.net_connections(kind="inet"):
            assert connection.laddr.ip == "127.0.0.1"
    credentials = freehold.call("POST", "/tenants/globex/credentials", {}).json()
    acme = freehold.up["tenant"]

    def status(url: str, key: str) -> int:
        return httpx.post(f"{url}/threads", json={}, headers={"x-api-key": key}, timeout=10).status_code

    assert status(globex["runtime_url"], credentials["api_key"]) == 200
    assert status(globex["runtime_url"], acme["runtime_api_key"]) == 401
    assert status(acme["runtime_url"], credentials["api_key"]) == 401
    outputs = freehold.call("GET", "/tenants/globex/outputs").json()
    assert outputs["secrets"]
    secrets = [p.read_text().strip() for p in (freehold.home / "tenants").rglob("*") if _is_secret(p)]
    # The model's key is the operator's, and the same for all.
    secrets = [secret for secret in secrets if secret != freehold.env["MODEL_API_KEY"]]
    assert len(secrets) == len(set(secrets)), "two tenants share a credential"
    assert not [secret for secret in secrets if secret in json.dumps(outputs)]

    said = delete(freehold, "globex")
    assert "all its usage is delivered" in said["settle"]
    assert "Drill passed" in said["snapshot"]
    (final,) = freehold.call("GET", "/tenants/globex/snapshots").json()["results"]
    assert (final["kind"], final["state"]) == ("final", "complete")
    assert tenant_processes(freehold, "globex") == []
    left = [p for p in freehold.home.rglob("*globex*")]
    assert left == []
    assert "globex" not in pulumi(freehold, "stack", "ls", "--all", "--json")
    assert freehold.call("GET", "/tenants/globex").json()["lifecycle"] == "deprovisioned"
    assert freehold.call("GET", "/tenants/globex/invoice-preview").status_code == 200


def _is_secret(path: Path) -> bool:
    return path.is_file() and "secrets" in path.parts and path.stat().st_size < 300


def test_usage_in_the_report_equals_what_the_provider_counted(freehold: RunningFreehold) -> None:
    tenant = freehold.up["tenant"]
    client = get_sync_client(url=tenant["runtime_url"], api_key=tenant["runtime_api_key"])
    for number in range(3):
        question = {"messages": [{"role": "user", "content": f"How is tenant number {number} deleted?"}]}
        client.runs.wait(None, "document_analyst", input=question)

    def totals() -> tuple[int, int]:
        def total(meter: str) -> int:
            """Over every tenant that ever lived here: they share the model, and so its counters."""
            found = 0
            for slug in SLUGS:
                answer = freehold.call("GET", f"/tenants/{slug}/usage?meter={meter}&window=month")
                found += sum(int(row["value"]) for row in answer.json().get("results", []))
            return found

        return total("input_tokens"), total("output_tokens")

    def counted() -> tuple[int, int]:
        counters = httpx.get(f"{freehold.model_url}/v1/counters", timeout=5).json()
        return counters["prompt_tokens"], counters["completion_tokens"]

    deadline = time.monotonic() + 20
    while totals() != counted() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert totals() == counted()
    assert counted()[0] > 0
    report = freehold.json("usage", "report", "acme")
    meters = {meter["meter"]: meter for meter in report["meters"]}
    preview = freehold.json("invoices", "preview", "acme")
    by_meter = {line["meter"]: line["amount"] for line in preview["lines"] if line["meter"]}
    assert by_meter["input_tokens"] == meters["input_tokens"]["amount"]


def test_what_dies_is_put_right_by_an_update(freehold: RunningFreehold) -> None:
    pids = {row["name"]: row["pid"] for row in freehold.json("status")["processes"]}
    os.kill(pids["acme/cache"], signal.SIGKILL)
    done = freehold.command("tenants", "update", "acme")
    assert done.returncode == 0, done.stderr
    after = {row["name"]: row for row in freehold.json("status")["processes"]}
    assert after["acme/cache"]["state"] == "running"
    assert after["acme/cache"]["pid"] != pids["acme/cache"]


def test_a_killed_service_is_restarted_by_the_supervisor(freehold: RunningFreehold) -> None:
    before = {row["name"]: row["pid"] for row in freehold.json("status")["processes"]}
    os.kill(before["scheduler"], signal.SIGKILL)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        now = {row["name"]: row["pid"] for row in freehold.json("status")["processes"]}
        if now["scheduler"] != before["scheduler"]:
            break
        time.sleep(0.3)
    assert now["scheduler"] != before["scheduler"]
    assert {name: now[name] for name in PARTS if name != "scheduler"} == {
        name: before[name] for name in PARTS if name != "scheduler"
    }


def test_a_killed_supervisor_leaves_nothing_that_up_and_down_cannot_settle(freehold: RunningFreehold) -> None:
    from embedded.processes import identity_read, processes_marked

    identity = identity_read(freehold.home / "run" / "supervisor.identity.json")
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    done = freehold.command("up")
    assert done.returncode == 0, done.stderr
    marked = [p.pid for p in processes_marked(str(freehold.home / "run" / "web"))]
    assert len(marked) == 1

    identity = identity_read(freehold.home / "run" / "supervisor.identity.json")
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    assert freehold.command("down").returncode == 0
    assert processes_marked(str(freehold.home)) == []
    assert tenant_processes(freehold, "acme") == []
    done = freehold.command("up")
    assert done.returncode == 0, done.stderr
    assert freehold.call("GET", "/tenants/acme").json()["lifecycle"] == "active"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("tenants", "show", "nobody"), 6),
        (("tenants", "create", "Bad Slug!"), 2),
        (("tenants", "delete", "acme"), 2),
        (("operations", "watch", "00000000-0000-7000-8000-000000000000"), 6),
    ],
)
def test_exit_codes(freehold: RunningFreehold, arguments: tuple[str, ...], code: int) -> None:
    done = freehold.command(*arguments, "--json")
    assert done.returncode == code
    assert json.loads(done.stderr)["exit_code"] == code


def test_waiting_for_a_person_has_its_own_exit_code_and_rejecting_ends_it(freehold: RunningFreehold) -> None:
    done = freehold.command("tenants", "create", "initech", "--requires-approval")
    assert done.returncode == 3
    operation = freehold.json("operations", "list", "--tenant", "initech")[0]
    assert operation["state"] == "awaiting_approval"
    assert freehold.command("operations", "reject", operation["id"], "--reason", "test").returncode == 0
    assert freehold.call("GET", f"/operations/{operation['id']}").json()["state"] == "canceled"
    delete(freehold, "initech")


def test_no_secret_is_in_a_log_or_in_argv(freehold: RunningFreehold) -> None:
    up = freehold.up
    secrets = [up["api_key"], up["tenant"]["runtime_api_key"], up["admin"]["password"]]
    secrets += [p.read_text().strip() for p in (freehold.home / "secrets").iterdir() if p.is_file()]
    for log in freehold.home.rglob("*.log"):
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret and secret in text], log
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [secret for secret in secrets if secret and secret in line], process.pid
