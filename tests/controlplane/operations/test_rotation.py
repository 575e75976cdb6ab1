"""Credentials change under load with the real engine and runtime: nobody is turned away, the old ones end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
import redis

from controlplane.accounts.models import ApiKey
from controlplane.core import clock
from controlplane.operations import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import credentials_read
from controlplane.tenants.runtime_secrets import STORAGE, WEBHOOK
from controlplane.tenants.runtime_tokens import runtime_token_issue
from controlplane.tenants.services import tenant_credentials_issue
from controlplane.tenants.token_keys import BEFORE
from tests.stacks.test_handover import hammering
from tests.support.house import House

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


def opens(url: str) -> bool:
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url) as client:
                return bool(client.ping())
        with psycopg.connect(url, connect_timeout=5):
            return True
    except (redis.AuthenticationError, psycopg.OperationalError):
        return False


@contextmanager
def working(base_url: str, headers: dict[str, str]) -> Iterator[list[str]]:
    """A customer who makes threads and runs without pause, each run waited for. Yields failures."""
    failures: list[str] = []
    done = [0]
    stop = threading.Event()
    question = {"messages": [{"role": "user", "content": "What is 6 times 7?"}]}

    def work() -> None:
        with httpx.Client(base_url=base_url, headers=headers, timeout=60) as client:
            agent = client.post("/assistants/search", json={}).json()[0]["assistant_id"]
            while not stop.is_set():
                try:
                    made = client.post("/threads", json={})
                    thread = made.raise_for_status().json()["thread_id"]
                    body = {"assistant_id": agent, "input": question}
                    client.post(f"/threads/{thread}/runs/wait", json=body).raise_for_status()
                    (run,) = client.get(f"/threads/{thread}/runs").raise_for_status().json()
                    if run["status"] != "success":
                        failures.append(str(run))
                    done[0] += 1
                except httpx.HTTPError as error:
                    failures.append(f"{type(error).__name__}: {error}")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield failures
    finally:
        stop.set()
        worker.join(90)
    assert not worker.is_alive()
    assert done[0] > 5
    print(f"{done[0]} runs")


def by_token(house: House, tenant: Tenant) -> int:
    """What the runtime answers to its administrator's token."""
    issued = runtime_token_issue(
        principal=house.owner.principal, tenant=tenant, role=None, user=None, now=clock.now()
    )
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    return httpx.get(f"{tenant.runtime_url}/admin/keys", headers=bearer, timeout=20).status_code


def test_a_rotation_under_load_fails_no_request_and_ends_every_old_credential(house: House) -> None:
    tenant = house.tenant()
    issued = tenant_credentials_issue(
        principal=house.owner.principal, tenant=tenant, name="t", now=clock.now()
    )
    headers = {"x-api-key": issued["api_key"]}
    old, sealed, usage_key = house.outputs(tenant), credentials_read(tenant), tenant.usage_key_id
    stores = ("postgres_url", "vector_url", "redis_url")
    assert all(opens(old[name]) for name in stores)
    assert by_token(house, tenant) == 200
    with (
        hammering(f"{tenant.runtime_url}/ready") as failures,
        working(tenant.runtime_url, headers) as cut,
        httpx.Client(base_url=tenant.runtime_url, headers=headers, timeout=30) as client,
    ):
        thread = client.post("/threads", json={}).raise_for_status().json()["thread_id"]
        house.done(tenant, states.ROTATE_CREDENTIALS)
        # A key of the tenant's own is data and stays good; so is the thread.
        assert client.get(f"/threads/{thread}").status_code == 200
    assert failures == []
    assert cut == []
    new = house.outputs(tenant)
    assert [opens(old[name]) for name in stores] == [False] * 3
    assert [opens(new[name]) for name in stores] == [True] * 3
    refused = httpx.get(
        f"{tenant.runtime_url}/admin/keys", headers={"x-api-key": sealed["runtime_admin_key"]}, timeout=10
    )
    assert refused.status_code == 401
    assert ApiKey.objects.get(pk=usage_key).revoked_at is not None
    assert ApiKey.objects.get(pk=tenant.usage_key_id).revoked_at is None
    assert (tenant.lifecycle, tenant.health) == ("active", "healthy")
    assert by_token(house, tenant) == 200
    fresh = credentials_read(tenant)
    assert [set(each) for each in fresh.pop(BEFORE)] == [{"public"}]
    assert set(fresh) == set(sealed)
    # The seed is for the tenant's life: each generation of passwords is derived from it anew.
    assert fresh.pop("password_seed") == sealed.pop("password_seed")
    # What data lies sealed under stays; of what signs webhooks the newest is added, and the one before stays good.
    assert fresh.pop(STORAGE) == sealed.pop(STORAGE)
    before, after = sealed.pop(WEBHOOK), fresh.pop(WEBHOOK)
    assert after[1:] == before
    assert not set(fresh.values()) & set(sealed.values())
    tenant_credentials_issue(principal=house.owner.principal, tenant=tenant, name="u", now=clock.now())
    assert house.done(tenant, states.UPDATE).plan_summary["update"] == 0
