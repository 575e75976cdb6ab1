"""Suspend and resume with the real runner, the real Pulumi CLI and the local target."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from billing.metering.models import ResourceSpan
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Stack
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_credentials_issue
from embedded.processes import processes_marked
from stacks.providers.local.gpus import gpus_held
from stacks.providers.local.host import units_boot, units_halt
from tests.support.house import House

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


@pytest.fixture
def machine_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU, as a stand-in `nvidia-smi` says."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU-a, 0, L4, 23034'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def spans(tenant: Tenant, meter: str) -> list[ResourceSpan]:
    found = ResourceSpan.objects.filter(span_slot__tenant_id=tenant.pk, span_slot__meter=meter)
    return list(found.order_by("id"))


def runtime_processes(house: House) -> list[Any]:
    return processes_marked(str(house.home / "tenants" / "acme" / "runtime"))


def ask_agent(tenant: Tenant, house: House) -> tuple[str, dict[str, str]]:
    """A thread with one run, made through a key of the tenant's: (thread id, headers)."""
    issued = tenant_credentials_issue(
        principal=house.owner.principal, tenant=tenant, name="t", now=clock.now()
    )
    headers = {"x-api-key": issued["api_key"]}
    with httpx.Client(base_url=tenant.runtime_url, headers=headers, timeout=30) as client:
        thread = client.post("/threads", json={}).raise_for_status().json()["thread_id"]
        agents = client.post("/assistants/search", json={}).raise_for_status().json()
        client.post(
            f"/threads/{thread}/runs/wait",
            json={
                "assistant_id": agents[0]["assistant_id"],
                "input": {"messages": [{"role": "user", "content": "What is 6 times 7?"}]},
            },
        ).raise_for_status()
    return thread, headers


def test_suspend_leaves_no_runtime_and_no_gpu_and_resume_brings_the_same_data_back(
    house: House, machine_gpu: None
) -> None:
    tenant = house.tenant(plan="pro")
    thread, headers = ask_agent(tenant, house)
    before = httpx.get(f"{tenant.runtime_url}/threads/{thread}/state", headers=headers).json()["values"]
    database = house.outputs(tenant)["postgres_url"]
    (gpu,), (runtime,) = spans(tenant, "gpu_hours"), spans(tenant, "runtime_hours")
    assert gpu.span.upper is None
    assert runtime.span.upper is None
    assert runtime_processes(house) != []

    asked = datetime.now(UTC)
    operation = house.done(tenant, states.SUSPEND)
    ended = datetime.now(UTC)

    assert (tenant.lifecycle, tenant.health) == ("suspended", "unknown")
    assert runtime_processes(house) == []
    assert gpus_held(house.home / "gpus", "acme", 0).gpus == ()
    gpu.refresh_from_db()
    runtime.refresh_from_db()
    assert asked < runtime.span.upper <= gpu.span.upper < ended, "given back only after the process ended"
    recorded = operation.steps.get(name=states.STEP_RECORD)
    assert recorded.started_at is not None
    assert gpu.span.upper < recorded.started_at, "the moment is the machine's, not the record's"
    assert len([span for span in spans(tenant, "database_hours") if span.span.upper is None]) == 3
    verified = operation.steps.get(name=states.STEP_VERIFY).detail
    assert "nothing of the runtime runs, no GPU is held" in verified
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM threads").fetchone() == (1,)

    # Neither an update nor a restart of the machine wakes it.
    house.done(tenant, states.UPDATE)
    house.done(tenant, states.REFRESH)
    units_halt(house.home / "tenants")
    assert [report.error for report in units_boot(house.home / "tenants")] == [None] * 4
    assert tenant.lifecycle == "suspended"
    assert runtime_processes(house) == []

    house.done(tenant, states.RESUME)
    assert tenant.lifecycle == "active"
    assert tenant.health in ("healthy", "degraded"), "the stand-in nvidia-smi has no GPU to look at"
    after = httpx.get(f"{tenant.runtime_url}/threads/{thread}/state", headers=headers).json()["values"]
    assert after == before
    assert house.outputs(tenant)["postgres_url"] == database
    assert [gpu.uuid for gpu in gpus_held(house.home / "gpus", "acme", 1).gpus] == ["GPU-a"]
    for meter in ("gpu_hours", "runtime_hours"):
        first, second = spans(tenant, meter)
        assert first.span.upper < second.span.lower
        assert second.span.upper is None


def test_an_apply_that_fails_halfway_still_closes_what_ended_and_leads_on(
    house: House, machine_gpu: None
) -> None:
    """The registry cannot note that the GPU is given back: the runtime has ended, the GPU is still held."""
    tenant = house.tenant(plan="pro")
    note = house.home / "gpus" / "changed-acme"
    note.unlink()
    note.mkdir()
    house.ask(tenant, states.SUSPEND)
    operation = house.run()
    note.rmdir()
    tenant.refresh_from_db()
    assert operation.state == states.FAILED
    assert tenant.lifecycle == "failed"
    (runtime,) = spans(tenant, "runtime_hours")
    (gpu,) = spans(tenant, "gpu_hours")
    assert runtime.span.upper is not None
    assert gpu.span.upper is None
    assert runtime_processes(house) == []

    house.done(tenant, states.SUSPEND)
    gpu.refresh_from_db()
    assert (tenant.lifecycle, gpu.span.upper is None) == ("suspended", False)
    assert Stack.objects.get(tenant=tenant).outputs["billable"][-1]["meter"] == "database_hours"
