"""After a full life no secret lies anywhere but in the files made for it; and the search finds what is planted."""

import base64
import json
import os
import secrets as token_source
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis
from langgraph_sdk import get_sync_client

from embedded.processes import MARK_VARIABLE
from tests.scenarios.conftest import RunningFreehold
from tests.support import leaks

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(500)]
SLUG = "discreet"


def secret_file(freehold: RunningFreehold, name: str) -> str:
    return (freehold.home / "secrets" / name).read_text().strip()


def database_urls(freehold: RunningFreehold) -> list[str]:
    """Both databases, as the superuser sees them."""
    parts = urlsplit(secret_file(freehold, "database_url"))
    password = secret_file(freehold, "postgres_password")
    return [
        f"postgresql://postgres:{password}@{parts.hostname}:{parts.port}/{name}"
        for name in ("freehold", "pulumi_state")
    ]


def reads(freehold: RunningFreehold) -> Iterator[tuple[str, httpx.Response]]:
    operations = freehold.call("GET", f"/operations?tenant={SLUG}").json()["results"]
    keys = freehold.call("GET", "/api-keys").json()["results"]
    snapshots = freehold.call("GET", f"/tenants/{SLUG}/snapshots").json().get("results", [])
    values = {
        "slug": ["acme", SLUG],
        "operation_id": [row["id"] for row in operations],
        "api_key_id": [keys[0]["id"]],
        "snapshot_id": [row["id"] for row in snapshots],
        "preview_id": [planned(freehold)],
        **billed(freehold),
    }
    yield from leaks.api_reads(freehold.up["api_url"], freehold.up["api_key"], values)
    root = freehold.up["portal_url"]
    for path in ("healthz", "readyz", "metrics"):
        yield path, httpx.get(f"{root}{path}", timeout=10)
    for path in ("ready", "info", "metrics", "live"):
        yield f"runtime {path}", httpx.get(f"{freehold.up['tenant']['runtime_url']}/{path}", timeout=10)
    yield "refused", freehold.call("GET", "/tenants", key=freehold.up["api_key"] + "x")


def planned(freehold: RunningFreehold) -> str:
    """The id of a planned tenant that does not exist."""
    wanted = {"slug": "only-planned", "name": "Only Planned", "plan": "starter", "target": "local"}
    preview = freehold.call("POST", "/tenant-previews", wanted).json()
    deadline = time.monotonic() + 60
    while preview["state"] == "waiting" and time.monotonic() < deadline:
        time.sleep(0.2)
        preview = freehold.call("GET", f"/tenant-previews/{preview['id']}").json()
    assert preview["state"] == "planned", preview
    return str(preview["id"])


def billed(freehold: RunningFreehold) -> dict[str, list[str]]:
    """The ids of everything of billing that there is."""

    def rows(path: str) -> list[dict[str, Any]]:
        return list(freehold.call("GET", path).json()["results"])

    invoices = rows("/invoices")
    return {
        "invoice_id": [row["id"] for row in invoices],
        "line_id": [line["id"] for row in invoices for line in row["lines"]],
        "suffix": ["pdf", "csv"],
        "close_id": [row["id"] for row in rows("/period-closes")],
        "credit_id": [row["id"] for row in rows("/tenants/acme/credits")],
        "budget_id": [row["id"] for path in ("/budgets", "/tenants/acme/budgets") for row in rows(path)],
        "schedule_id": [row["id"] for row in rows("/report-schedules")],
    }


def bill(freehold: RunningFreehold) -> dict[str, str]:
    """Makes one of each thing of billing; the secrets that were shown on the way."""
    api = freehold.up["api_url"]

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {freehold.up['api_key']}", "Idempotency-Key": f"leaks {path}"}
        answer = httpx.post(f"{api}{path}", json=body, headers=headers, timeout=30)
        assert answer.is_success, f"{path}: {answer.text}"
        return dict(answer.json())

    today = datetime.now(UTC)
    post("/invoices", {"tenant": "acme", "period": f"{today:%Y-%m}"})
    ended = today.replace(day=1) - timedelta(days=1)
    post("/period-closes", {"period": f"{ended:%Y-%m}", "without_grace": True})
    post("/tenants/acme/credits", {"name": "Welcome", "source": "promotion", "amount": "5.00"})
    hook = {"name": "all", "amount": "1000000", "webhook_url": "https://hooks.example.com/in"}
    fleet = post("/budgets", {**hook, "thresholds": [{"percent": "100", "actions": ["alert"]}]})
    post("/report-schedules", {"tenant": "acme", "cadence": "weekly", "emails": ["a@example.com"]})
    link = post("/tenants/acme/report-links", {"label": "Ada"})
    assert all(ids for ids in billed(freehold).values())
    return {
        "a webhook's secret": str(fleet["webhook_secret"]),
        "a report link's token": str(link["url"]).rstrip("/").rpartition("/")[2],
    }


def pages(freehold: RunningFreehold) -> Iterator[tuple[str, httpx.Response]]:
    admin = freehold.up["admin"]
    return leaks.portal_pages(freehold.up["portal_url"], admin["email"], admin["password"])


def scan(freehold: RunningFreehold, known: leaks.Secrets) -> list[str]:
    found = leaks.scan_files(freehold.home, known)
    for url in database_urls(freehold):
        found += leaks.scan_database(url, known)
    found += leaks.scan_redis(secret_file(freehold, "redis_url"), known)
    found += leaks.scan_argv(known)
    found += leaks.scan_environ(freehold.home, known)
    answers = list(reads(freehold))
    assert len(answers) > 25
    found += leaks.scan_answers(answers, known)
    shown = list(pages(freehold))
    assert len(shown) > 15
    return found + leaks.scan_answers(shown, known)


@contextmanager
def runtime_port_taken(freehold: RunningFreehold) -> Iterator[None]:
    with psycopg.connect(database_urls(freehold)[0]) as connection:
        row = connection.execute("SELECT slot FROM tenants_tenant WHERE slug = %s", [SLUG]).fetchone()
    assert row is not None
    base = json.loads((freehold.home / "run" / "ports.json").read_text())["tenant_base"]
    with closing(socket.create_server(("127.0.0.1", base + 4 * row[0] + 3))):
        yield


def approve(freehold: RunningFreehold, operation_id: str) -> dict[str, Any]:
    """Waits for the plan, approves it and waits for the end."""
    freehold.command("operations", "watch", operation_id)
    answer = freehold.call("POST", f"/operations/{operation_id}/approve", {})
    assert answer.status_code == 202, answer.text
    return freehold.wait(operation_id)


def test_after_a_full_life_no_secret_lies_anywhere(freehold: RunningFreehold) -> None:
    body = {"slug": SLUG, "name": SLUG, "plan": "starter", "target": "local", "requires_approval": True}
    operation_id = freehold.call("POST", "/tenants", body).json()["operation"]["id"]
    freehold.command("operations", "watch", operation_id)
    with runtime_port_taken(freehold):
        failed = approve(freehold, operation_id)
    assert failed["state"] == "failed", "the failed operation did not fail"
    freehold.call("POST", f"/operations/{operation_id}/retry", {})
    assert approve(freehold, operation_id)["state"] == "succeeded"
    headers = {"Authorization": f"Bearer {freehold.up['api_key']}", "Idempotency-Key": "leaks"}
    issued = httpx.post(
        f"{freehold.up['api_url']}/tenants/{SLUG}/credentials", json={}, headers=headers, timeout=30
    ).json()
    client = get_sync_client(url=issued["runtime_url"], api_key=issued["api_key"])
    question = {"messages": [{"role": "user", "content": "What happens to a secret?"}]}
    assert client.runs.wait(None, "document_analyst", input=question)
    refused = httpx.post(f"{issued['runtime_url']}/threads", headers={"x-api-key": "wrong"}, timeout=10)
    assert refused.status_code == 401
    changed = freehold.call("PATCH", f"/tenants/{SLUG}", {"overrides": {"cache": {"max_memory_mb": 80}}})
    assert freehold.wait(changed.json()["operation"]["id"])["state"] == "succeeded"
    taken = freehold.call("POST", f"/tenants/{SLUG}/snapshot", {}).json()["operation"]["id"]
    assert freehold.wait(taken)["state"] == "succeeded"
    freehold.command("doctor")
    shown_once = bill(freehold)

    up = freehold.up
    extra = {
        "the model's key": freehold.env["MODEL_API_KEY"],
        "an issued key": issued["api_key"],
        "the administrator's password": up["admin"]["password"],
        "the administrator's API key": up["api_key"],
        "acme's runtime key": up["tenant"]["runtime_api_key"],
        **shown_once,
    }
    known = leaks.secrets_of(freehold.home, extra)
    assert len(known.values) > 20
    assert leaks.loose_files(freehold.home) == []
    assert scan(freehold, known) == []

    operation = freehold.call("DELETE", f"/tenants/{SLUG}").json()["operation"]
    assert freehold.wait(operation["id"])["state"] == "succeeded"
    assert scan(freehold, known) == []


def test_a_secret_planted_in_any_channel_is_found(freehold: RunningFreehold) -> None:
    """Without this the empty lists above would prove nothing."""
    plant = token_source.token_urlsafe(24)
    known = leaks.Secrets({"planted": plant})
    processes = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(90)", plant]),
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(90)"],
            env={**os.environ, "PLANT": plant, MARK_VARIABLE: str(freehold.home / "run" / "planted")},
        ),
    ]
    log, hidden = freehold.home / "logs" / "planted.log", freehold.home / "tenants" / "planted.bin"
    log.write_text(f"a line\nkey={plant}\n")
    hidden.write_bytes(b"\x00\xff" + base64.b64encode(b"ab" + plant.encode() + b"cd") + b"\x00")
    broker = redis.Redis.from_url(secret_file(freehold, "redis_url"))
    broker.rpush("planted", json.dumps({"body": plant}))
    freehold.call("PATCH", "/tenants/acme", {"labels": {"planted": plant}})
    state_database = database_urls(freehold)[1]
    with psycopg.connect(state_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE planted AS SELECT %s::text AS value", [plant])
    try:
        found = scan(freehold, known)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        broker.delete("planted")
        with psycopg.connect(state_database, autocommit=True) as connection:
            connection.execute("DROP TABLE planted")
        freehold.call("PATCH", "/tenants/acme", {"labels": {}})
        for path in (log, hidden):
            path.unlink(missing_ok=True)
    for channel in (
        "file logs/planted.log",
        "file tenants/planted.bin",
        "table freehold:public.tenants_tenant",
        "table pulumi_state:public.planted",
        "redis b'planted'",
        "argv of",
        "environ of",
        "answer of /api/v1/tenants/acme ",
        "answer of /tenants/acme/ ",
    ):
        assert [line for line in found if line.startswith(channel)], (channel, found)
    assert not [line for line in found if plant in line]


def test_loose_modes_are_found(freehold: RunningFreehold) -> None:
    path = Path(freehold.home / "secrets" / "redis_password")
    path.chmod(0o644)
    try:
        assert leaks.loose_files(freehold.home)
        checks = freehold.command("doctor", "--json")
        assert "readable by others: redis_password" in checks.stdout
    finally:
        path.chmod(0o600)
