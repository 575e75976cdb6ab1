"""/tenants/{slug}/budgets, /budgets and /standing: the three people, the whole life of a budget."""

import json
from typing import Any
from uuid import uuid4

import pytest

from billing.budgets.models import Budget
from billing.standing.services import standing_hold
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.models import OutboundEndpoint, OutboundMessage
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person

Acme = tuple[Tenant, Operation]
WANTED = {"name": "Platform", "amount": "100.00"}
HOOK = {"webhook_url": "https://hooks.example.com/in"}
PLACES = ("/tenants/acme/budgets", "/budgets")


@pytest.mark.parametrize("place", PLACES)
def test_the_three_people(acme: Acme, owner: Person, teammate: Person, stranger: Person, place: str) -> None:
    made = owner.api().post(place, WANTED).json()
    one = f"{place}/{made['id']}"
    assert teammate.api().get(one).status_code == 200
    assert [row["id"] for row in teammate.api().get(place).json()["results"]] == [made["id"]]
    for method, path, body in (
        ("POST", place, WANTED),
        ("PATCH", one, {"amount": "5"}),
        ("DELETE", one, None),
        ("POST", f"{one}/evaluate", {}),
    ):
        refused = teammate.api()(method, path, body)
        assert (refused.status_code, refused.json()["required_scope"]) == (403, "billing:write")
        foreign = stranger.api()(method, path, body)
        if (method, path) == ("POST", "/budgets"):
            assert foreign.status_code == 201, "a budget of the stranger's own fleet"
        else:
            assert foreign.status_code == 404
        assert ApiClient(None)(method, path, body).status_code == 401
    assert stranger.api().get(one).status_code == 404
    if place != "/budgets":
        assert stranger.api().get(place).status_code == 404
    else:
        assert made["id"] not in [row["id"] for row in stranger.api().get(place).json()["results"]]
    assert Budget.objects.get(pk=made["id"]).amount == 100


def test_a_budget_is_not_found_under_another_owner(acme: Acme, owner: Person) -> None:
    owner.api().post("/tenants", {"slug": "globex", "name": "G", "plan": "starter", "target": "local"})
    own = owner.api().post("/tenants/acme/budgets", WANTED).json()["id"]
    assert owner.api().get(f"/tenants/globex/budgets/{own}").status_code == 404
    assert owner.api().get(f"/budgets/{own}").status_code == 404
    assert owner.api()("DELETE", f"/budgets/{own}").status_code == 404


def test_a_key_limited_to_some_tenants_has_no_fleet(acme: Acme, owner: Person) -> None:
    _, token = api_key_create(
        team_id=owner.team.id, name="k", scopes=["billing:read", "billing:write"], tenant_ids=[acme[0].id],
        actor="test", now=clock.now(),
    )  # fmt: skip
    limited = ApiClient(token)
    assert limited.post("/tenants/acme/budgets", WANTED).status_code == 201
    assert limited.get("/budgets").status_code == limited.post("/budgets", WANTED).status_code == 403


def test_the_life_of_a_budget(acme: Acme, owner: Person) -> None:
    api = owner.api()
    body = {**WANTED, **HOOK, "emails": ["a@example.com"], "on_unknown": "closed"}
    answer = api.post("/tenants/acme/budgets", body)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    made = answer.json()
    assert made["webhook_secret"].startswith("whsec_")
    assert (made["scope"], made["tenant"], made["currency"]) == ("tenant", "acme", "USD")
    assert [t["percent"] for t in made["thresholds"]] == ["50", "80", "100", "100"]
    status = made["status"]
    report = api.get("/tenants/acme/usage-report").json()
    assert status["spent"] == report["estimated_total"], "the same as the bill, from the first moment"
    assert (status["problem"], status["while_unknown"]) == ("", "new runs are blocked")
    path = f"/tenants/acme/budgets/{made['id']}"
    read = api.get(path)
    assert "webhook_secret" not in read.json()
    stale = read.headers["ETag"]
    changed = api("PATCH", path, {"amount": "0.01"}, headers={"If-Match": stale})
    assert changed.status_code == 200
    assert changed.json()["status"]["state"] == "exceeded"
    assert {alert["percent"] for alert in changed.json()["alerts"]} == {"50", "80", "100"}
    assert changed.json()["webhook_secret"] is None
    assert api("PATCH", path, {"amount": "9"}, headers={"If-Match": stale}).status_code == 412
    # Three thresholds on what is spent and one on the forecast, each by e-mail and by webhook.
    assert OutboundMessage.objects.count() == 8
    deliveries = changed.json()["alerts"][0]["deliveries"]
    assert [each["channel"] for each in deliveries] == ["email", "webhook"]
    event = json.loads(OutboundMessage.objects.filter(channel="webhook")[0].body)
    assert event["type"] == "budget.reached"
    assert (event["data"]["tenant"], event["data"]["budget"]["name"]) == ("acme", "Platform")
    assert api.post(f"{path}/evaluate").status_code == 200
    assert api("DELETE", path).status_code == 204
    assert api.get(path).status_code == 404
    assert not OutboundEndpoint.objects.exists()
    trail = [row["action"] for row in api.get("/audit-events").json()["results"]]
    assert {"billing.budget.created", "billing.budget.updated", "billing.budget.deleted"} <= set(trail)


def test_a_repeated_request_makes_one_budget(acme: Acme, owner: Person) -> None:
    headers = {"Idempotency-Key": "one"}
    first = owner.api().post("/budgets", {**WANTED, **HOOK}, headers=headers)
    again = owner.api().post("/budgets", {**WANTED, **HOOK}, headers=headers)
    assert first.json() == again.json()
    assert Budget.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"amount": "1"}, "/name"),
        ({"name": "n"}, "/amount"),
        ({"name": "n", "amount": 1.5}, "/amount"),
        ({"name": "n", "amount": "-1"}, "/amount"),
        ({"name": "n", "amount": "1.001"}, "/amount"),
        ({**WANTED, "currency": "XXX"}, "/currency"),
        ({**WANTED, "thresholds": [{"percent": "x"}]}, "/thresholds/0/percent"),
        ({**WANTED, "thresholds": [{"percent": "5", "actions": ["delete"]}]}, "/thresholds/0/actions/0"),
        ({**WANTED, "emails": ["nobody"]}, "/emails/0"),
        ({**WANTED, "webhook_url": "https://10.0.0.1/"}, "/webhook_url"),
        ({**WANTED, "surprise": 1}, "/surprise"),
    ],
)
def test_wrong_fields_are_named(acme: Acme, owner: Person, body: dict[str, Any], pointer: str) -> None:
    for place in PLACES:
        answer = owner.api().post(place, body)
        assert answer.status_code == 422, answer.content
        assert pointer in [problem["pointer"] for problem in answer.json()["errors"]]
    assert not Budget.objects.exists()


def test_the_standing_is_shown_with_its_reason(
    acme: Acme, owner: Person, teammate: Person, stranger: Person
) -> None:
    tenant = acme[0]
    assert teammate.api().get("/tenants/acme/standing").json()["standing"] == "current"
    standing_hold(
        tenant_id=tenant.id, team_id=tenant.team_id, source=f"budget:{uuid4()}", standing="capped",
        reason="It is spent.", actions=["block_runs"], at=clock.now(), actor="test",
    )  # fmt: skip
    found = teammate.api().get("/tenants/acme/standing").json()
    assert (found["standing"], found["reason"], found["actions"]) == (
        "capped",
        "It is spent.",
        ["block_runs"],
    )
    assert found["enacted"] == {
        "runs_paused": False,
        "told_at": None,
        "suspend_operation": None,
        "problem": "",
    }
    assert stranger.api().get("/tenants/acme/standing").status_code == 404
