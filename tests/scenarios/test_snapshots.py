"""Snapshot and restore by the public command, on a tenant that has a life of its own."""

import httpx
import pytest

from tests.scenarios.conftest import RunningFreehold

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(900)]


def test_a_restore_brings_back_what_was_and_keeps_the_key(freehold: RunningFreehold) -> None:
    tenant = freehold.up["tenant"]
    runtime, headers = tenant["runtime_url"], {"x-api-key": tenant["runtime_api_key"]}

    def thread_make() -> str:
        answer = httpx.post(f"{runtime}/threads", json={}, headers=headers, timeout=10)
        assert answer.status_code == 200
        return str(answer.json()["thread_id"])

    def thread_there(thread_id: str) -> bool:
        answer = httpx.get(f"{runtime}/threads/{thread_id}", headers=headers, timeout=10)
        assert answer.status_code in (200, 404)
        return answer.status_code == 200

    kept = thread_make()
    assert freehold.command("tenants", "snapshot", "acme", "--reason", "before the import").returncode == 0
    (listed,) = freehold.json("tenants", "snapshots", "acme")
    assert (listed["state"], listed["reason"]) == ("complete", "before the import")
    lost = thread_make()

    refused = freehold.command("tenants", "restore", "acme")
    assert refused.returncode == 2
    assert "--confirm acme" in refused.stderr
    waits = freehold.command("tenants", "restore", "acme", "--snapshot", listed["id"], "--confirm", "acme")
    assert waits.returncode == 3, waits.stderr
    (operation,) = freehold.json("operations", "list", "--tenant", "acme", "--state", "awaiting_approval")
    assert thread_there(lost), "nothing is touched before somebody agrees"
    assert freehold.command("operations", "approve", operation["id"]).returncode == 0
    assert freehold.wait(operation["id"])["state"] == "succeeded"
    assert thread_there(kept)
    assert not thread_there(lost)

    assert freehold.command("tenants", "snapshots", "acme", "--delete", listed["id"]).returncode == 0
    assert freehold.call("GET", f"/tenants/acme/snapshots/{listed['id']}").json()["state"] == "deleted"
    assert not (freehold.home / "snapshots" / listed["tenant_id"]).exists()
