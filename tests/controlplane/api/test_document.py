"""The OpenAPI document: complete enough for clients, and true to what the API answers."""

import io
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from billing.budgets.models import Budget
from billing.costs.imports import cost_feed_import
from billing.costs.vendors import model_costs_post
from billing.invoicing.models import Invoice, PeriodClose
from billing.ledger.accruals import accruals_post
from billing.ledger.models import CreditGrant
from billing.ledger.services import credit_grant_create
from billing.period import month_start, period_of
from billing.reports.models import ReportSchedule
from billing.reports.schedules import reports_write_due
from controlplane.core import clock
from controlplane.operations import transitions
from controlplane.operations.dry_run import DryRun
from controlplane.operations.models import Operation, Stack
from controlplane.tenants import drafts
from controlplane.tenants.models import Snapshot, Tenant
from tests.controlplane.api.test_usage import BATCH, event, send
from tests.support.assessments import assessment, finding
from tests.support.feeds import cur
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
METHODS = ("get", "post", "patch", "put", "delete")


@cache
def document() -> dict[str, Any]:
    return dict(SchemaGenerator().get_schema(public=True))


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_operation_ids_are_unique_and_every_operation_says_what_it_is() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert {"tenants_list", "tenants_create", "tenants_get", "operations_events"} <= set(ids)
    for path, method, operation in operations():
        assert operation["tags"], path
        assert operation["summary"], path
        assert operation["security"] == [{"apiKey": []}, {"portalSession": []}], path
        assert {"400", "401", "403", "429"} <= set(operation["responses"]), (method, path)


def test_every_path_of_the_api_is_documented() -> None:
    from controlplane.api.urls import urlpatterns

    # The last pattern answers what is not there.
    assert len(document()["paths"]) == len(urlpatterns) - 1


def test_both_ways_of_authenticating_are_described() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert (schemes["apiKey"]["type"], schemes["apiKey"]["scheme"]) == ("http", "bearer")
    assert (schemes["portalSession"]["in"], schemes["portalSession"]["name"]) == ("cookie", "sessionid")


def parameters(operation_id: str) -> set[tuple[str, str]]:
    found = next(o for _, _, o in operations() if o["operationId"] == operation_id)
    return {(parameter["in"], parameter["name"]) for parameter in found["parameters"]}


def test_parameters_are_documented() -> None:
    assert {("query", "cursor"), ("query", "limit"), ("query", "label")} <= parameters("tenants_list")
    assert ("header", "Idempotency-Key") in parameters("tenants_create")
    assert ("header", "If-Match") in parameters("tenants_change")
    assert ("header", "Last-Event-ID") in parameters("operations_events")
    assert {("query", "from"), ("query", "to"), ("query", "meter")} <= parameters("tenants_usage")


PREVIEW = UUID("01900000-0000-7000-8000-000000000001")
SNAPSHOT = "01900000-0000-7000-8000-000000000000"
READS = {
    "/plans": "/plans",
    "/targets": "/targets",
    "/tenants": "/tenants?limit=1",
    "/tenants/{slug}": "/tenants/acme",
    "/tenants/{slug}/resources": "/tenants/acme/resources",
    "/tenants/{slug}/outputs": "/tenants/acme/outputs",
    "/tenants/{slug}/stack/export": "/tenants/acme/stack/export",
    "/tenants/{slug}/health": "/tenants/acme/health",
    "/tenants/{slug}/timeline": "/tenants/acme/timeline",
    "/tenants/{slug}/snapshots": "/tenants/acme/snapshots",
    "/tenants/{slug}/snapshots/{snapshot_id}": "/tenants/acme/snapshots/{snapshot}",
    "/tenants/{slug}/usage": "/tenants/acme/usage?meter=input_tokens&group_by=model",
    "/tenants/{slug}/usage-report": "/tenants/acme/usage-report",
    "/usage": "/usage?meter=input_tokens&group_by=tenant",
    "/usage/corrections": "/usage/corrections",
    "/tenants/{slug}/invoice-preview": "/tenants/acme/invoice-preview",
    "/tenants/{slug}/agreement": "/tenants/acme/agreement",
    "/tenants/{slug}/billing-profile": "/tenants/acme/billing-profile",
    "/rate-cards": "/rate-cards",
    "/tenants/{slug}/credits": "/tenants/acme/credits",
    "/tenants/{slug}/credits/{credit_id}": "/tenants/acme/credits/{credit}",
    "/tenants/{slug}/costs": "/tenants/acme/costs",
    "/tenants/{slug}/margin": "/tenants/acme/margin",
    "/cost-imports": "/cost-imports",
    "/margin": "/margin",
    "/legal-entity": "/legal-entity",
    "/invoices": "/invoices",
    "/invoices/{invoice_id}": "/invoices/{invoice}",
    "/invoices/{invoice_id}.{suffix}": "/invoices/{invoice}.csv",
    "/invoices/{invoice_id}/export": "/invoices/{invoice}/export",
    "/invoices/{invoice_id}/lines/{line_id}/explain": "/invoices/{invoice}/lines/{line}/explain",
    "/credit-notes": "/credit-notes",
    "/period-closes": "/period-closes",
    "/period-closes/{close_id}": "/period-closes/{close}",
    "/operations": "/operations",
    "/operations/{operation_id}": "/operations/{operation}",
    "/operations/{operation_id}/log": "/operations/{operation}/log",
    "/operations/{operation_id}/events": "/operations/{operation}/events",
    "/operations/{operation_id}/plan": "/operations/{operation}/plan",
    "/tenants/{slug}/budgets": "/tenants/acme/budgets",
    "/tenants/{slug}/budgets/{budget_id}": "/tenants/acme/budgets/{budget}",
    "/tenants/{slug}/standing": "/tenants/acme/standing",
    "/tenants/{slug}/report-links": "/tenants/acme/report-links",
    "/budgets": "/budgets",
    "/budgets/{budget_id}": "/budgets/{fleet_budget}",
    "/usage-report": "/usage-report",
    "/report-schedules": "/report-schedules",
    "/report-schedules/{schedule_id}": "/report-schedules/{schedule}",
    "/meters": "/meters",
    "/api-keys": "/api-keys",
    "/members": "/members",
    "/invitations": "/invitations",
    "/tenant-previews/{preview_id}": f"/tenant-previews/{PREVIEW}",
    "/audit-events": "/audit-events",
    "/audit-events/verify": "/audit-events/verify",
}


@pytest.fixture
def furnished(acme: Acme, owner: Person, monkeypatch: pytest.MonkeyPatch) -> Acme:
    """Acme with something in every answer: a failed operation with a plan, a stack, checks and usage."""
    tenant, operation = acme
    now = clock.now()
    owner.api().post("/tenants", {"slug": "globex", "name": "G", "plan": "starter", "target": "local"})
    assert send(owner.api(), [event("1"), event("2", model="n")], BATCH).json()["accepted"] == 2
    urn = "urn:pulumi:acme::freehold::freehold:local:Postgres::postgres"
    named = {"urn": urn, "type": "freehold:local:Postgres", "name": "postgres"}
    Operation.objects.filter(pk=operation.pk).update(
        state="planning",
        plan=[{**named, "op": "create", "diffs": [{"path": "port", "kind": "add"}]}],
        plan_summary={"create": 1, "update": 0, "replace": 0, "delete": 0, "same": 0},
    )
    operation.refresh_from_db()
    error = {
        "code": "apply_failed",
        "title": "It failed",
        "detail": "port taken",
        "hint": "Free it.",
        "urn": urn,
    }
    transitions.operation_fail(operation=operation, error=error, now=now)
    stack = {
        "resources": [{**named, "id": "pg", "parent": ""}],
        "outputs": {
            "schema_version": 1,
            "runtime_url": "http://127.0.0.1:21003",
            "components": [{"name": "postgres", "kind": "postgres", "summary": "s", "details": {"port": 1}}],
            "billable": [{"meter": "database_hours", "slot": 0, "resource": "postgres", "dimensions": {}}],
        },
    }
    Stack.objects.update_or_create(tenant_id=tenant.id, defaults={"name": "acme", "updated_at": now, **stack})
    Tenant.objects.filter(pk=tenant.pk).update(
        health_checks=[{"name": "postgres", "ok": True, "detail": ""}], health_checked_at=now
    )
    files = [{"name": "postgres.dump", "component": "postgres", "bytes": 7, "sha256": "0" * 64, "items": 3}]
    Snapshot.objects.create(
        id=SNAPSHOT,
        tenant=tenant,
        operation=operation,
        kind="manual",
        state="complete",
        size_bytes=7,
        manifest={"files": files, "versions": {"runtime": "0.1.0"}},
        created_at=now,
        completed_at=now,
        expires_at=now,
    )
    terms = {"source": "purchase", "currency": "USD", "amount": Decimal(10), "actor": "test", "now": now}
    credit_grant_create(tenant_id=tenant.id, team_id=tenant.team_id, name="c", **terms)
    model_costs_post(tenant_id=tenant.id, day=now.date(), at=now)
    bill = cur({}, {"resource_tags": "{}"})
    cost_feed_import(pool_id=tenant.team_id, stream=io.BytesIO(bill.encode()), actor="test", now=now)
    accruals_post(now=now)
    _invoiced(tenant, owner)
    budget = {"name": "b", "amount": "0.01", "webhook_url": "https://hooks.example.com/in"}
    blocking = [{"percent": "100", "actions": ["alert", "block_runs"]}]
    for place in ("/tenants/acme/budgets", "/budgets"):
        assert owner.api().post(place, {**budget, "thresholds": blocking}).status_code == 201
    schedule = {"tenant": "acme", "cadence": "weekly", "emails": ["a@example.com"]}
    made = owner.api().post("/report-schedules", schedule).json()
    ReportSchedule.objects.filter(pk=made["id"]).update(next_at=now)
    assert reports_write_due(now=now) == 1
    assert owner.api().post("/tenants/acme/report-links", {"label": "Ada"}).status_code == 201
    invited = {"email": "ada@example.com", "role": "viewer", "tenants": ["acme"]}
    assert owner.api().post("/invitations", invited).status_code == 201
    result = DryRun(plan=[{**named, "op": "create", "diffs": []}], assessment=assessment(finding()))
    monkeypatch.setattr(drafts.current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setattr(drafts, "uuid7", lambda: PREVIEW)
    monkeypatch.setattr(drafts, "dry_run_plan", lambda **_: result)
    wanted = {"slug": "newco", "name": "N", "plan": "starter", "target": "local"}
    assert owner.api().post("/tenant-previews", wanted).status_code == 202
    assert drafts.draft_plan_compute(draft_id=PREVIEW) == "planned"
    return acme


def _invoiced(tenant: Tenant, owner: Person) -> None:
    """An invoice of the last month, a credit note on it, and that month's close."""
    now = clock.now()
    period = period_of(month_start(now) - timedelta(days=1))
    Tenant.objects.filter(pk=tenant.pk).update(created_at=period.start)
    api = owner.api()
    month = {"period": period.key}
    used = {**event("9", output_tokens=10**6), "time": period.start.isoformat()}
    assert send(api, [used], BATCH).json()["accepted"] == 1
    draft = api.post("/invoices", {"tenant": "acme", **month}).json()
    api.post(f"/invoices/{draft['id']}/finalize")
    assert api.post(f"/invoices/{draft['id']}/credit", {"amount": "1.00", "reason": "r"}).status_code == 200
    assert api.post("/period-closes", {**month, "without_grace": True}).status_code == 202


def test_every_read_is_in_the_table() -> None:
    assert {path.removeprefix("/api/v1") for path, method, _ in operations() if method == "get"} == set(READS)


#: Answered with a text, which no schema can check.
TEXTS = {
    "/operations/{operation_id}/log",
    "/invoices/{invoice_id}.{suffix}",
    "/invoices/{invoice_id}/export",
}


@pytest.mark.parametrize("path", sorted(READS.keys() - TEXTS))
def test_answers_fit_the_document(
    furnished: Acme, owner: Person, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"resources": [{"urn": "urn:pulumi:acme::freehold::a::b", "type": "a"}]}
    monkeypatch.setattr("controlplane.tenants.exporting.state_export", lambda **kwargs: state)
    invoice = Invoice.objects.get()
    address = READS[path].format(
        snapshot=SNAPSHOT,
        operation=furnished[1].id,
        credit=CreditGrant.objects.get().id,
        invoice=invoice.pk,
        line=invoice.lines.order_by("position")[0].pk,
        close=PeriodClose.objects.get().pk,
        budget=Budget.objects.exclude(tenant_id=None).get().pk,
        fleet_budget=Budget.objects.get(tenant_id=None).pk,
        schedule=ReportSchedule.objects.get().pk,
    )
    answer = owner.api().get(address, headers={"accept": "application/json"})
    assert answer.status_code == 200
    operation = document()["paths"][f"/api/v1{path}"]["get"]
    check(answer.json(), operation["responses"]["200"]["content"]["application/json"]["schema"])
    declared = set(operation["responses"]["200"]["headers"])
    assert {"X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= declared
    assert not [name for name in declared - {"Location", "Retry-After"} if name not in answer.headers]


def test_problems_fit_the_document(acme: Acme, owner: Person) -> None:
    for answer in (
        owner.api().get("/tenants/nobody"),
        owner.api().get("/tenants?limit=0"),
        owner.api().post("/tenants", {"slug": "!"}),
        owner.api()("PATCH", "/tenants/acme", {"name": "x"}, headers={"if-match": '"old"'}),
    ):
        assert answer.headers["Content-Type"] == "application/problem+json"
        check(answer.json(), {"$ref": "#/components/schemas/Problem"})


def test_a_created_tenant_fits_the_document(owner: Person) -> None:
    body = {"slug": "initech", "name": "I", "plan": "starter", "target": "local"}
    check(owner.api().post("/tenants", body).json(), {"$ref": "#/components/schemas/TenantOperationAnswer"})


def check(body: Any, schema: dict[str, Any]) -> None:
    """Members that the document does not know are faults too, except where an error may add some."""
    components = {
        name: closed(shape) if name not in ("Problem", "OperationError") else shape
        for name, shape in document()["components"]["schemas"].items()
    }
    validator = Draft202012Validator({**schema, "components": {"schemas": components}})
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
    assert found == []


def closed(shape: dict[str, Any]) -> dict[str, Any]:
    return {**shape, "additionalProperties": False} if "properties" in shape else shape


def test_the_document_and_its_page_are_served_from_here_alone(db: None) -> None:
    import re

    client = Client()
    served = client.get("/api/schema/", headers={"accept": "application/json"})
    assert served.status_code == 200
    assert served.json()["openapi"].startswith("3.1")
    page = client.get("/api/docs/")
    assert page.status_code == 200
    html = page.content.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert addresses
    assert [address for address in addresses if not address.startswith("/") or address.startswith("//")] == []
    # Split view: the page holds no script of its own, which the policy would refuse.
    assert not re.search(r"<script>(?!\s*</script>)", html)
    for address in addresses:
        assert client.get(address).status_code == 200, address
    script = client.get(next(a for a in addresses if "script" in a)).content.decode()
    assert "http://" not in script
    assert "https://" not in script
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy.split("; ")
