"""Lives of tenants, told through the same services the executor calls; only the engine is played."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from billing.directory import directory
from billing.invoicing.models import Invoice
from billing.invoicing.services import invoice_draft, invoice_finalize
from billing.metering.services import usage_ingest
from billing.period import Period
from contracts.engine import PlanFacts
from contracts.stack import StackSpec
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.core.ids import uuid7
from controlplane.operations import leases, states, transitions
from controlplane.operations.binding import binding_make
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation
from controlplane.operations.record import stack_record
from controlplane.tenants.component_health import looks_settle
from controlplane.tenants.looks import COMPONENTS, GPU, Look
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create
from tests.support.assessments import assessment, lost

#: (name, type, id) of what the local target creates.
RESOURCES = (
    ("freehold-acme", "pulumi:pulumi:Stack", ""),
    ("directory", "local:index:DataDirectory", "directory-acme"),
    ("postgres", "freehold:local:Postgres", ""),
    ("postgres-server", "local:index:PostgresServer", "postgres-acme-21000"),
    ("cache", "freehold:local:Cache", ""),
    ("cache-server", "local:index:RedisServer", "redis-acme-21001"),
    ("vector-store", "freehold:local:VectorStore", ""),
    ("vector-store-server", "local:index:PostgresServer", "postgres-acme-21002"),
    ("gpu-pool", "freehold:local:GpuPool", ""),
    ("gpu-pool-allocation", "local:index:GpuAllocation", "gpus-acme"),
    ("runtime", "freehold:local:Runtime", ""),
    ("runtime-process", "local:index:RuntimeProcess", "runtime-acme-21003"),
)
ERROR = {
    "code": "pulumi_failed",
    "title": "Applying failed at local:index:PostgresServer 'vector-store-server'",
    "detail": "could not bind 127.0.0.1:21002: Address already in use",
    "hint": "Nothing was rolled back: what was created is in the stack's state. Mend the cause and retry; "
    "Pulumi goes on from where it stopped.",
    "resource": {"urn": "urn:x", "type": "local:index:PostgresServer", "name": "vector-store-server"},
}


def outputs(runtime_url: str = "http://127.0.0.1:21003") -> dict[str, Any]:
    def component(name: str, kind: str, summary: str, **details: Any) -> dict[str, Any]:
        return {"name": name, "kind": kind, "summary": summary, "details": details}

    described = {
        "runtime_url": runtime_url,
        "components": [
            component(
                "postgres", "postgres", "Postgres 16 on 127.0.0.1:21000", port=21000, max_connections=40
            ),
            component("cache", "cache", "Redis 6.2 on 127.0.0.1:21001", port=21001, max_memory_mb=64),
            component("vector-store", "vector_store", "pgvector on 127.0.0.1:21002", port=21002),
            component("gpu-pool", "gpu_pool", "no GPU (this machine has none)", wanted=0, assigned=0),
            component("runtime", "runtime", "agent runtime 0.1.0 on 127.0.0.1:21003", port=21003, workers=1),
        ],
        "billable": [
            {"meter": "runtime_hours", "slot": 0, "resource": "runtime"},
            {"meter": "database_hours", "slot": 0, "resource": "postgres"},
        ],
    }
    return {"values": {"outputs": described}, "secrets": {"postgres_url": "postgres://secret"}}


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:acme::freehold::{kind}::{name}"


def parent_of(name: str) -> str:
    """The URN of what a resource of RESOURCES belongs to: its component, or the stack."""
    owners = [(kind, other) for other, kind, key in RESOURCES if not key and name.startswith(f"{other}-")]
    kind, owner = owners[-1] if owners else (RESOURCES[0][1], RESOURCES[0][0])
    return "" if name == RESOURCES[0][0] else urn(kind, owner)


def request(principal: Principal, slug: str, now: datetime, **fields: Any) -> tuple[Tenant, Operation]:
    wanted = {"name": slug.replace("-", " ").title(), "plan": "starter", "target": "local", **fields}
    return tenant_create(principal=principal, slug=slug, now=now, **wanted)


def claim(now: datetime) -> Operation:
    operation = leases.operation_claim(worker="worker-1", now=now)
    assert operation is not None
    return operation


def plan(operation: Operation, now: datetime, *, op: str = "create") -> None:
    transitions.step_begin(operation=operation, name=states.STEP_PLAN, now=now)
    planned = [
        {
            "urn": urn(kind, name),
            "type": kind,
            "name": name,
            "op": op,
            "state": "planned",
            "phase": "preview",
            "diffs": [],
        }
        for name, kind, _ in RESOURCES
    ]
    summary = {"create": 0, "update": 0, "replace": 0, "delete": 0, "same": 0, op: len(RESOURCES)}
    events_append(
        operation_id=operation.id,
        at=now,
        events=[
            *(("resource", row) for row in planned),
            ("summary", {**summary, "phase": "preview", "duration_s": 1}),
        ],
    )
    binding = binding_make(
        plan_id=uuid7(),
        facts=PlanFacts(program_hash="p", state_hash="", cli_version="3.259.0", sdk_version="3.259.0"),
        spec=StackSpec.model_validate(operation.spec),
        state_version=0,
        plan=planned,
        assessment=assessment(lost("postgres"), before="12.50", after="19.75"),
        computed_at=now,
        expires_at=now + timedelta(days=1),
    )
    transitions.operation_planned(
        operation=operation,
        summary=summary,
        plan=planned,
        assessment=assessment(lost("postgres"), before="12.50", after="19.75"),
        binding=binding,
    )
    transitions.step_end(
        operation=operation, name=states.STEP_PLAN, detail=f"{len(RESOURCES)} to {op}", now=now
    )


def apply(operation: Operation, now: datetime, *, op: str = "create") -> Iterator[datetime]:
    """Begins to apply, then one resource for each time it is asked; yields the story's time."""
    assert transitions.operation_apply_begin(operation=operation, now=now)
    transitions.step_begin(operation=operation, name=states.STEP_APPLY, now=now)
    yield now
    for number, (name, kind, _) in enumerate(RESOURCES, start=1):
        row = {"urn": urn(kind, name), "type": kind, "name": name, "op": op, "phase": "up"}
        events_append(operation_id=operation.id, at=now, events=[("resource", {**row, "state": "started"})])
        yield now
        now += timedelta(seconds=0.35 + 0.3 * (number % 4))
        done = ("resource", {**row, "state": "done"})
        events_append(operation_id=operation.id, at=now, events=[done])
        Operation.objects.filter(pk=operation.pk).update(progress_done=number)
        yield now


def settle(operation: Operation, now: datetime, *, runtime_url: str = "http://127.0.0.1:21003") -> datetime:
    transitions.step_end(
        operation=operation,
        name=states.STEP_APPLY,
        detail="The engine reached the wanted state.",
        now=now,
    )
    transitions.step_begin(operation=operation, name=states.STEP_RECORD, now=now)
    resources = [
        {"urn": urn(kind, name), "type": kind, "name": name, "id": key, "parent": parent_of(name)}
        for name, kind, key in RESOURCES
    ]
    detail = stack_record(
        operation=operation,
        outputs=outputs(runtime_url),
        state={"version": 1, "resources": resources},
        now=now,
    )
    transitions.step_end(operation=operation, name=states.STEP_RECORD, detail=detail, now=now)
    if states.STEP_VERIFY in states.STEPS_OF_KIND[operation.kind]:
        transitions.step_begin(operation=operation, name=states.STEP_VERIFY, now=now)
        now += timedelta(seconds=1.2)
        transitions.step_end(
            operation=operation, name=states.STEP_VERIFY, detail="The runtime answers: healthy.", now=now
        )
    Tenant.objects.filter(pk=operation.tenant_id).update(runtime_url=runtime_url, health="healthy")
    assert transitions.operation_succeed(operation=operation, now=now)
    return now


def provisioned(principal: Principal, slug: str, now: datetime, **fields: Any) -> tuple[Tenant, Operation]:
    """An active, healthy tenant."""
    tenant, _ = request(principal, slug, now, **fields)
    operation = claim(now + timedelta(seconds=1))
    plan(operation, now + timedelta(seconds=2))
    *_, last = apply(operation, now + timedelta(seconds=3))
    settle(operation, last)
    looks = [Look(name, "healthy", f"{name} answers", 2) for name in COMPONENTS if name != GPU]
    looks_settle(tenant_id=tenant.pk, looks=looks, now=last + timedelta(seconds=5))
    tenant.refresh_from_db()
    operation.refresh_from_db()
    return tenant, operation


def failed(principal: Principal, slug: str, now: datetime) -> tuple[Tenant, Operation]:
    """A tenant whose provisioning stopped at the vector store."""
    tenant, _ = request(principal, slug, now)
    operation = claim(now + timedelta(seconds=1))
    plan(operation, now + timedelta(seconds=2))
    story = apply(operation, now + timedelta(seconds=3))
    for _ in range(15):
        now = next(story)
    name, kind, _ = RESOURCES[7]
    row = {"urn": urn(kind, name), "type": kind, "name": name, "op": "create", "phase": "up"}
    events_append(
        operation_id=operation.id,
        at=now,
        events=[
            ("diagnostic", {"severity": "error", "message": ERROR["detail"], "urn": row["urn"]}),
            ("resource", {**row, "state": "failed"}),
        ],
    )
    assert transitions.operation_fail(operation=operation, error=ERROR, now=now)
    tenant.refresh_from_db()
    operation.refresh_from_db()
    return tenant, operation


def awaiting_approval(principal: Principal, slug: str, now: datetime) -> tuple[Tenant, Operation]:
    tenant, _ = request(principal, slug, now, requires_approval=True)
    operation = claim(now)
    plan(operation, now)
    assert transitions.operation_await_approval(
        operation=operation, reason="Approval was asked for with the request.", moved=[], now=now
    )
    operation.refresh_from_db()
    return tenant, operation


def model_call(slug: str, number: int, at: datetime, *, tokens: int = 1000) -> dict[str, Any]:
    agents = ("document_analyst", "support_agent", "researcher")
    return {
        "specversion": "1.0",
        "id": f"call-{number}",
        "source": f"/tenants/{slug}/runtime/0",
        "type": "freehold.model.usage.v1",
        "subject": slug,
        "time": at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "run_id": f"run-{number}",
            "step": 1,
            "user": "ada",
            "agent": agents[number % 3],
            "model": ("offline-rules-1", "llama-4-70b")[number % 2],
            "input_tokens": tokens * 3,
            "cached_input_tokens": tokens,
            "output_tokens": tokens,
        },
    }


def run_end(slug: str, number: int, at: datetime) -> dict[str, Any]:
    call = model_call(slug, number, at)
    data = {
        "run_id": f"run-{number}",
        "user": "ada",
        "agent": call["data"]["agent"],
        "outcome": "success",
        "duration_ms": 2100,
    }
    return {**call, "id": f"end-{number}", "type": "freehold.run.usage.v1", "data": data}


def used(tenant: Tenant, events: list[dict[str, Any]], now: datetime) -> None:
    for start in range(0, len(events), 100):
        answer = usage_ingest(
            tenant_id=tenant.id, subject=tenant.slug, events=events[start : start + 100], received_at=now
        )
        assert answer.rejected == 0, answer


def invoiced(tenant: Tenant, *, final: bool = True) -> Invoice:
    """Last month's invoice: the tenant is made to have lived through it."""
    now = clock.now()
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (first - timedelta(days=1)).replace(day=1)
    Tenant.objects.filter(pk=tenant.pk).update(created_at=begin)
    customer = directory().customer(tenant_id=tenant.pk)
    assert customer is not None
    made = invoice_draft(customer=customer, period=Period(begin, first), at=now, actor="test")
    if final:
        invoice_finalize(invoice=made, customer=customer, at=now, actor="test")
    return Invoice.objects.get(pk=made.pk)
