"""/api/v1/usage/corrections and /api/v1/usage: three people, and what they may change and see."""

from typing import Any

import pytest

from billing.metering.models import UsageCorrection
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.controlplane.api.test_usage import BATCH, event, send, sender
from tests.support.people import ApiClient, Person

__all__ = ["sender"]
Acme = tuple[Tenant, Operation]
SOURCE = "/tenants/acme/runtime/r0"


def _void(**changes: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "source": SOURCE,
        "id": "1",
        "action": "void",
        "reason": "a test run",
        **changes,
    }


def _total(person: Person, meter: str = "input_tokens") -> str:
    rows = person.api().get(f"/usage?meter={meter}&tenant=acme&window=month").json()["results"]
    return rows[0]["value"] if rows else "0"


def test_an_event_is_voided_once(sender: ApiClient, owner: Person) -> None:
    send(sender, [event("1"), event("2")], BATCH)
    made = owner.api().post("/usage/corrections", _void())
    assert (made.status_code, made.json()["action"], made.json()["event"]) == (201, "void", None)
    assert _total(owner) == "10"
    again = owner.api().post("/usage/corrections", _void())
    assert (again.status_code, again.json()["code"]) == (409, "event_voided")
    assert _total(owner) == "10"
    listed = owner.api().get("/usage/corrections?tenant=acme").json()["results"]
    assert [(row["id"], row["event_id"], row["reason"]) for row in listed] == [
        (made.json()["id"], "1", "a test run")
    ]
    audited = AuditEvent.objects.get(action="usage.void")
    assert (audited.subject_id, audited.actor) == (made.json()["id"], made.json()["actor"])


def test_an_event_is_amended_once_and_may_then_be_voided(sender: ApiClient, owner: Person) -> None:
    sent = event("1")
    send(sender, [sent], BATCH)
    right = {**sent, "data": {**sent["data"], "input_tokens": 7}}
    amend = _void(action="amend", event=right)
    assert owner.api().post("/usage/corrections", amend).status_code == 201
    assert _total(owner) == "7"
    assert owner.api().post("/usage/corrections", amend).json()["code"] == "event_amended"
    assert send(sender, [sent], BATCH).json()["duplicate"] == 1
    assert owner.api().post("/usage/corrections", _void()).status_code == 201
    assert _total(owner) == "0"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"id": "9"}, 404),
        ({"tenant": "globex"}, 404),
        ({"reason": " "}, 422),
        ({"event": {}}, 422),
        ({"action": "amend"}, 422),
        ({"action": "amend", "event": {"id": "1"}}, 422),
        ({"action": "erase"}, 422),
    ],
)
def test_wrong_corrections_change_nothing(
    sender: ApiClient, owner: Person, changes: dict[str, Any], status: int
) -> None:
    send(sender, [event("1")], BATCH)
    assert owner.api().post("/usage/corrections", _void(**changes)).status_code == status
    assert (_total(owner), UsageCorrection.objects.count()) == ("10", 0)


def test_an_amendment_is_of_the_same_event(sender: ApiClient, owner: Person) -> None:
    send(sender, [event("1")], BATCH)
    answer = owner.api().post("/usage/corrections", _void(action="amend", event=event("2")))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/event")


def test_who_may_correct(sender: ApiClient, owner: Person, teammate: Person, stranger: Person) -> None:
    send(sender, [event("1")], BATCH)
    assert teammate.api().post("/usage/corrections", _void()).status_code == 403
    assert stranger.api().post("/usage/corrections", _void()).status_code == 404
    assert (_total(owner), UsageCorrection.objects.count()) == ("10", 0)
    owner.api().post("/usage/corrections", _void())
    assert len(teammate.api().get("/usage/corrections").json()["results"]) == 1
    assert stranger.api().get("/usage/corrections").json()["results"] == []
    assert stranger.api().get("/usage/corrections?tenant=acme").status_code == 404


def test_the_fleet_is_what_one_may_see(
    sender: ApiClient, acme: Acme, owner: Person, teammate: Person, stranger: Person
) -> None:
    send(sender, [event("1"), event("2")], BATCH)
    owner.api().post("/tenants", {"slug": "globex", "name": "G", "plan": "starter", "target": "local"})
    asked = "/usage?meter=input_tokens&window=month&group_by=tenant"
    for person in (owner, teammate):
        rows = person.api().get(asked).json()["results"]
        assert [(row["group"], row["value"]) for row in rows] == [("acme", "20")]
    both = (
        owner.api().get("/usage?meter=input_tokens&tenant=acme&tenant=globex&group_by=user").json()["results"]
    )
    assert [(row["group"], row["value"]) for row in both] == [("u", "20")]
    assert stranger.api().get(asked).json()["results"] == []
    assert stranger.api().get("/usage?meter=input_tokens&tenant=acme").status_code == 404
    assert sender.get("/usage?meter=input_tokens").status_code == 403
    assert owner.api().get("/usage?meter=input_tokens&group_by=planet").status_code == 422


def test_known_at_tells_what_was_known(sender: ApiClient, owner: Person) -> None:
    from controlplane.core import clock

    send(sender, [event("1")], BATCH)
    before = clock.now().isoformat().replace("+00:00", "Z")
    owner.api().post("/usage/corrections", _void())
    asked = "/tenants/acme/usage?meter=input_tokens&window=month"
    assert owner.api().get(asked).json()["results"] == []
    assert owner.api().get(f"{asked}&known_at={before}").json()["results"][0]["value"] == "10"
