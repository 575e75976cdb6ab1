"""/api/v1/usage/events in its three modes, and the reads of usage and money."""

import json
from typing import Any

import pytest

from contracts.usage import MODEL_USAGE
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person

Acme = tuple[Tenant, Operation]
BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"


def event(id: str, **data: Any) -> dict[str, Any]:
    usage = {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": "m", "input_tokens": 10}
    return {
        "specversion": "1.0",
        "id": id,
        "source": "/tenants/acme/runtime/r0",
        "type": MODEL_USAGE,
        "subject": "acme",
        "time": clock.now().isoformat(),
        "data": {**usage, **data},
    }


@pytest.fixture
def sender(acme: Acme, owner: Person) -> ApiClient:
    _, token = api_key_create(
        team_id=owner.team.id,
        name="runtime",
        scopes=["usage:write"],
        tenant_ids=[acme[0].id],
        actor="test",
        now=clock.now(),
    )
    return ApiClient(token)


def send(client: ApiClient, body: Any, content_type: str, **headers: str) -> Any:
    return client("POST", "/usage/events", json.dumps(body), content_type=content_type, headers=headers)


def test_batch_structured_and_binary(sender: ApiClient, owner: Person) -> None:
    batch = send(sender, [event("1"), event("2")], BATCH).json()
    assert (batch["accepted"], [r["outcome"] for r in batch["results"]]) == (2, ["accepted", "accepted"])
    assert send(sender, event("3"), STRUCTURED).json()["accepted"] == 1
    one = event("4")
    attributes = {f"ce-{name}": value for name, value in one.items() if name != "data"}
    assert send(sender, one["data"], "application/json", **attributes).json()["accepted"] == 1
    report = owner.api().get("/tenants/acme/usage-report").json()
    assert {m["meter"]: m["total"] for m in report["meters"]}["input_tokens"] == "40"


def test_outcomes_are_per_event_and_in_order(sender: ApiClient) -> None:
    send(sender, [event("1")], BATCH)
    strange = {**event("9"), "subject": "globex"}
    answer = send(sender, [event("1"), strange, "text", event("2")], BATCH).json()
    # The same id at another time is another body.
    assert [r["outcome"] for r in answer["results"]] == ["conflict", "rejected", "rejected", "accepted"]
    assert answer["results"][1]["reason"].startswith("subject:")


def test_a_runtime_cannot_write_for_another_tenant(sender: ApiClient, owner: Person) -> None:
    owner.api().post("/tenants", {"slug": "globex", "name": "G", "plan": "starter", "target": "local"})
    foreign = {**event("1"), "subject": "globex", "source": "/tenants/globex/runtime/r0"}
    assert send(sender, [foreign], BATCH).json()["results"][0]["outcome"] == "rejected"


def test_only_usage_keys_may_send(teammate: Person, acme: Acme) -> None:
    assert send(teammate.api(), [event("1")], BATCH).status_code == 403


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [("{", STRUCTURED, 400), ("{}", BATCH, 400), ("[]", STRUCTURED, 400), ("{}", "text/plain", 415)],
)
def test_wrong_bodies(sender: ApiClient, body: str, content_type: str, status: int) -> None:
    answer = sender("POST", "/usage/events", body, content_type=content_type)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_reports_in_every_format(acme: Acme, owner: Person) -> None:
    csv = owner.api().get("/tenants/acme/usage-report?format=csv")
    assert csv.headers["Content-Type"].startswith("text/csv")
    pdf = owner.api().get("/tenants/acme/usage-report?format=pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert owner.api().get("/tenants/acme/usage-report?format=xml").status_code == 422
    assert owner.api().get("/tenants/acme/usage-report?period=2026-13").status_code == 422
    preview = owner.api().get("/tenants/acme/invoice-preview").json()
    assert (preview["state"], preview["number"], bool(preview["lines"])) == ("draft", None, True)


def test_the_usage_query_checks_its_parameters(acme: Acme, owner: Person) -> None:
    api = owner.api()
    assert api.get("/tenants/acme/usage?meter=nope").status_code == 422
    assert api.get("/tenants/acme/usage?meter=input_tokens&window=year").status_code == 422
    assert api.get("/tenants/acme/usage?meter=input_tokens&from=yesterday").status_code == 422
    assert api.get("/tenants/acme/usage?meter=input_tokens&timezone=Mars/Base").status_code == 422
    assert api.get("/tenants/acme/usage?meter=input_tokens&window=hour").json()["window"] == "hour"
    for odd in ("2026-11-01T00:00:00+21:49", "2026-11-01T00:00:00-23:59"):  # Postgres takes no such offset
        assert api.get(f"/tenants/acme/usage?meter=input_tokens&known_at={odd}").status_code == 200, odd
    assert api.get("/tenants/acme/usage?meter=input_tokens&from=0001-01-01T00:00:00+14:00").status_code == 422


def test_an_idempotency_key_gets_the_stored_answer(sender: ApiClient) -> None:
    batch, key = [event("1")], {"idempotency-key": "k-1"}
    first, again = send(sender, batch, BATCH, **key), send(sender, batch, BATCH, **key)
    assert (first.json()["accepted"], again.json()) == (1, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    other = send(sender, [event("2")], BATCH, **key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert send(sender, batch, BATCH).json()["duplicate"] == 1


def test_under_an_idempotency_key_the_attributes_of_a_binary_event_count(sender: ApiClient) -> None:
    one = event("4")
    attributes = {f"ce-{name}": value for name, value in one.items() if name != "data"}
    attributes["idempotency-key"] = "k-1"
    assert send(sender, one["data"], "application/json", **attributes).status_code == 200
    other = {**attributes, "ce-id": "5"}
    assert send(sender, one["data"], "application/json", **other).status_code == 422


def test_an_event_is_the_same_in_every_mode(sender: ApiClient) -> None:
    one = event("4")
    attributes = {f"ce-{name}": value for name, value in one.items() if name != "data"}
    assert send(sender, one["data"], "application/json", **attributes).json()["accepted"] == 1
    assert send(sender, one, STRUCTURED).json()["duplicate"] == 1
    assert send(sender, [one], BATCH).json()["duplicate"] == 1


def test_token_counts_are_whole(sender: ApiClient) -> None:
    events = [event(str(n), input_tokens=count) for n, count in enumerate(["15", "15.0", 15, "1.5", 1.5])]
    results = send(sender, events, BATCH).json()["results"]
    assert [r["outcome"] for r in results] == ["accepted"] * 3 + ["rejected"] * 2
    assert results[3]["reason"] == "data.input_tokens: must be a whole number"
