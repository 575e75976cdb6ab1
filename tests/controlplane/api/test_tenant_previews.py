"""A tenant's plan before anything of it exists: asked for, watched, and who may, by the API and the command line."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.core.cache import cache
from django.test import Client
from typer.testing import CliRunner

from contracts.stack import StackSpec
from controlplane.cli import commands_tenants, dry_run
from controlplane.cli.client import Api, Credentials
from controlplane.cli.errors import CliError, Denied, WaitingTimedOut
from controlplane.cli.main import app
from controlplane.core.models import AuditEvent
from controlplane.operations.dry_run import DryRun, DryRunFailed
from controlplane.operations.models import Operation
from controlplane.tenants import drafts
from controlplane.tenants.models import Tenant
from tests.controlplane.cli.test_budgets import Behind
from tests.support.assessments import assessment, finding
from tests.support.people import ApiClient, Person

WANTED = {
    "slug": "newco", "name": "Newco", "plan": "starter", "target": "local",
    "labels": {"tier": "gold"}, "overrides": {"postgres": {"max_connections": 77}},
}  # fmt: skip
ROW = {"urn": "urn:db", "type": "local:index:PostgresServer", "name": "db", "op": "create", "diffs": []}
FINE = DryRun(plan=[ROW, {**ROW, "op": "same"}], assessment=assessment(before="0", after="12.50"))
Plan = Callable[[DryRun | DryRunFailed], list[StackSpec]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """What was handed to workers; none of them runs."""
    cache.clear()
    calls: list[UUID] = []
    monkeypatch.setattr(drafts.current_app, "send_task", lambda name, args, **_: calls.append(UUID(args[0])))
    return calls


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The engine, which answers so; the specs it is given."""

    def answering(result: DryRun | DryRunFailed) -> list[StackSpec]:
        specs: list[StackSpec] = []

        def planned(*, spec: StackSpec) -> DryRun:
            specs.append(spec)
            if isinstance(result, DryRunFailed):
                raise result
            return result

        monkeypatch.setattr(drafts, "dry_run_plan", planned)
        return specs

    return answering


def nothing_made() -> bool:
    return not (
        Tenant.objects.exists()
        or Operation.objects.exists()
        or AuditEvent.objects.filter(action__startswith="tenant").exists()
    )


def test_it_is_asked_for_watched_and_makes_nothing(owner: Person, sent: list[UUID], plan: Plan) -> None:
    api, specs = owner.api(), plan(FINE)

    asked = api.post("/tenant-previews", WANTED, headers={"Idempotency-Key": "k"})

    assert asked.status_code == 202
    body = asked.json()
    path = f"/tenant-previews/{body['id']}"
    assert asked.headers["Location"] == f"/api/v1{path}"
    assert (body["state"], body["plan"], body["error"]) == ("waiting", None, None)
    assert api.post("/tenant-previews", WANTED, headers={"Idempotency-Key": "k"}).json() == body
    assert sent == [UUID(body["id"])], "a repeat asks for no other"
    assert api.get(path).json() == body
    drafts.draft_plan_compute(draft_id=sent[0])
    found = api.get(path).json()
    assert (found["state"], found["slug"], found["tenant_plan"]) == ("planned", "newco", "starter")
    assert found["plan"]["summary"] == {"create": 1, "update": 0, "replace": 0, "delete": 0, "same": 1}
    assert found["plan"]["cost"]["monthly_after"] == "12.50"
    assert found["plan"]["policy"] == {"denied": False, "rules": ["no-public-ingress"], "findings": []}
    assert [row["name"] for row in found["plan"]["resources"]] == ["db", "db"]
    assert (specs[0].postgres.max_connections, specs[0].labels) == (77, {"tier": "gold"})
    assert nothing_made()


def test_what_the_engine_refuses_is_told(owner: Person, sent: list[UUID], plan: Plan) -> None:
    plan(DryRunFailed("Planning failed: no such thing.", hint="Mend it."))
    path = f"/tenant-previews/{owner.api().post('/tenant-previews', WANTED).json()['id']}"

    drafts.draft_plan_compute(draft_id=sent[0])

    found = owner.api().get(path).json()
    assert (found["state"], found["plan"]) == ("failed", None)
    assert found["error"] == {"detail": "Planning failed: no such thing.", "hint": "Mend it."}


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"slug": "N!"}, 422, "/slug"),
        ({"plan": "gold"}, 422, "/plan"),
        ({"overrides": {"postgres": {"max_connections": 5}}}, 422, "/overrides/postgres/max_connections"),
        ({"labels": {"No Label": "x"}}, 422, "/labels/No Label"),
    ],
)
def test_what_a_tenant_may_not_be_is_refused(
    owner: Person, sent: list[UUID], change: dict[str, Any], status: int, pointer: str
) -> None:
    answer = owner.api().post("/tenant-previews", {**WANTED, **change})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, pointer)
    assert sent == []


def test_three_people(owner: Person, teammate: Person, stranger: Person, sent: list[UUID]) -> None:
    path = f"/tenant-previews/{owner.api().post('/tenant-previews', WANTED).json()['id']}"
    for client, status in ((teammate.api(), 403), (stranger.api(), 404), (ApiClient(None), 401)):
        assert client.get(path).status_code == status
    for client, status in ((teammate.api(), 403), (ApiClient(None), 401)):
        assert client.post("/tenant-previews", WANTED).status_code == status
    assert len(sent) == 1
    cache.clear()
    assert owner.api().get(path).status_code == 404


def test_the_portal_has_no_form_to_go_with_it(owner: Person, sent: list[UUID]) -> None:
    made = owner.api().post("/tenant-previews", WANTED).json()["id"]
    client = Client()
    client.force_login(owner.user)

    assert client.get(f"/tenants/review/{made}/").status_code == 404


@pytest.fixture
def freehold(owner: Person, sent: list[UUID], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A worker has the plan whenever the command line pauses."""
    api = Api(Credentials("http://freehold/api/v1", owner.key))
    api._client = httpx.Client(base_url="http://freehold/api/v1", transport=Behind(owner.api()))
    monkeypatch.setattr(commands_tenants, "api_connect", lambda: api)
    monkeypatch.setattr(dry_run.time, "sleep", lambda _: drafts.draft_plan_compute(draft_id=sent[-1]))
    command = ("tenants", "create", "newco", "--label", "tier=gold", "--dry-run")
    return lambda *further: CliRunner().invoke(app, [*command, *further], catch_exceptions=True)


def test_the_command_line_shows_it(freehold: Callable[..., Any], plan: Plan) -> None:
    specs = plan(FINE)

    text, machine = freehold(), freehold("--json")

    assert (text.exit_code, machine.exit_code) == (0, 0)
    assert "local:index:PostgresServer" in text.stdout
    assert "0 -> 12.50 USD a month" in text.stderr
    assert json.loads(machine.stdout)["state"] == "planned"
    assert specs[0].labels == {"tier": "gold"}
    assert nothing_made()


def test_the_command_line_ends_by_what_became_of_it(
    freehold: Callable[..., Any], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(DryRun(plan=[ROW], assessment=assessment(finding())))
    denied = freehold()
    assert isinstance(denied.exception, Denied)
    assert "no-public-ingress" in denied.stderr
    plan(DryRunFailed("Planning failed.", hint="Mend it."))
    failed = freehold()
    assert type(failed.exception) is CliError
    assert "Planning failed." in str(failed.exception)
    monkeypatch.setattr(dry_run.time, "sleep", lambda _: None)
    assert isinstance(freehold("--timeout", "0.01").exception, WaitingTimedOut)
    assert nothing_made()
