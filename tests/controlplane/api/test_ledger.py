"""Credits, costs and margins by the API: what owners, finance, viewers and strangers may, and what comes back."""

import gzip
import io
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from billing.costs.models import CostImport
from billing.ledger.models import CreditGrant, JournalTransaction
from billing.ledger.selectors import balances
from controlplane.accounts import roles
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.feeds import cur, tag
from tests.support.people import ApiClient, Person, person_make

Acme = tuple[Tenant, Operation]
CREDIT = {"name": "Welcome", "source": "promotion", "amount": "50.00", "priority": 10}


def grant(person: Person, **fields: Any) -> Any:
    return person.api().post("/tenants/acme/credits", {**CREDIT, **fields})


def bill(
    person: Person, content: str | bytes, query: str = "", content_type: str = "text/csv", **headers: str
) -> Any:
    body = content if isinstance(content, bytes) else content.encode()
    return person.api()("POST", f"/cost-imports{query}", body, content_type=content_type, headers=headers)


def test_finance_grants_and_voids_credit_and_it_is_audited(
    acme: Acme, owner: Person, teammate: Person
) -> None:
    fred = person_make("fred@example.com", owner.team, roles.FINANCE)
    made = grant(fred)
    assert (made.status_code, made.json()["state"], made.json()["remaining"]) == (201, "active", "50")
    listed = teammate.api().get("/tenants/acme/credits").json()
    assert ([row["id"] for row in listed["results"]], listed["balances"]) == (
        [made.json()["id"]],
        {"USD": "50"},
    )
    path = f"/tenants/acme/credits/{made.json()['id']}"
    assert teammate.api()("DELETE", path).status_code == 403
    gone = fred.api()("DELETE", path)
    assert (gone.status_code, gone.json()["state"], gone.json()["remaining"]) == (200, "voided", "0")
    assert (fred.api()("DELETE", path).status_code, fred.api().get(path).json()["state"]) == (409, "voided")
    actions = AuditEvent.objects.filter(subject_type="credit").order_by("sequence")
    assert list(actions.values_list("action", "team_id")) == [
        ("credit.granted", owner.team.id),
        ("credit.voided", owner.team.id),
    ]


def test_the_balance_at_an_earlier_moment(acme: Acme, owner: Person) -> None:
    before = clock.now().isoformat().replace("+00:00", "Z")
    grant(owner)
    earlier = owner.api().get(f"/tenants/acme/credits?at={before}").json()
    assert (earlier["results"], earlier["balances"]) == ([], {})
    for wrong in ("yesterday", "2026-11-01T00:00:00", "0001-01-01T00:00:00%2B14:00"):
        assert owner.api().get(f"/tenants/acme/credits?at={wrong}").status_code == 422
    # An offset that Python takes and Postgres does not.
    assert owner.api().get("/tenants/acme/credits?at=0101-12-06T10:45:33%2B21:49").status_code == 200


def test_wrong_credits_are_refused_by_field(acme: Acme, owner: Person) -> None:
    wrong = {
        "amount": "1.001",
        "currency": "XXX",
        "source": "gift",
        "priority": -1,
        "expires_at": "2020-01-01T00:00:00Z",
    }
    for field, value in wrong.items():
        answer = grant(owner, **{field: value})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert not CreditGrant.objects.exists()


def test_an_idempotency_key_grants_once(acme: Acme, owner: Person) -> None:
    key = {"idempotency-key": "k-1"}
    first, again = (owner.api().post("/tenants/acme/credits", CREDIT, headers=key) for _ in range(2))
    assert (first.json(), CreditGrant.objects.count()) == (again.json(), 1)


def test_strangers_find_no_credit_and_change_none(acme: Acme, owner: Person, stranger: Person) -> None:
    path = f"/tenants/acme/credits/{grant(owner).json()['id']}"
    assert stranger.api().get(path).status_code == 404
    assert stranger.api()("DELETE", path).status_code == 404
    assert grant(stranger).status_code == 404
    assert CreditGrant.objects.get().voided_at is None
    stranger.api().post("/tenants", {"slug": "sams", "name": "S", "plan": "starter", "target": "local"})
    # Nor by the address of a tenant of their own.
    assert stranger.api().get(path.replace("acme", "sams")).status_code == 404


def test_a_bill_is_imported_once_and_costs_are_told(acme: Acme, owner: Person) -> None:
    text = cur(
        {"line_item_unblended_cost": "30"}, {"line_item_unblended_cost": "6", "resource_tags": tag("")}
    )
    tried = bill(owner, text, "?dry_run=true")
    assert (tried.status_code, tried.json()["posted"], CostImport.objects.count()) == (200, {"USD": "36"}, 0)
    first = bill(owner, gzip.compress(text.encode()), content_type="application/gzip")
    assert (first.status_code, first.json()["lines"], first.json()["untagged"]) == (201, 2, 1)
    again = bill(owner, gzip.compress(text.encode(), mtime=1), content_type="application/gzip")
    posted = JournalTransaction.objects.count()
    same = bill(owner, gzip.compress(text.encode(), mtime=1), content_type="application/gzip")
    assert (again.json()["posted"], same.status_code, same.json()["fresh"]) == ({}, 200, False)
    assert JournalTransaction.objects.count() == posted
    told = owner.api().get("/tenants/acme/costs?period=2026-11").json()
    assert told["totals"][0]["by_kind"]["infrastructure"] == "30"
    assert (told["totals"][0]["total"], told["services"][0]["amount"]) == ("36", "30")
    assert [row["lines"] for row in owner.api().get("/cost-imports").json()["results"]] == [2, 2]


def test_a_malformed_bill_names_its_lines(acme: Acme, owner: Person) -> None:
    answer = bill(owner, cur({}, {"line_item_unblended_cost": "?"}))
    assert (answer.status_code, answer.json()["code"]) == (422, "cost_feed_malformed")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/lines/3"]
    assert not CostImport.objects.exists()


@pytest.mark.parametrize(
    ("query", "content_type", "status"),
    [("", "application/json", 415), ("?mode=merge", "text/csv", 422), ("?dry_run=maybe", "text/csv", 422)],
)
def test_wrong_requests_of_imports(
    acme: Acme, owner: Person, query: str, content_type: str, status: int
) -> None:
    assert bill(owner, cur({}), query, content_type).status_code == status


def test_imports_are_the_teams_and_need_billing_write(
    acme: Acme, owner: Person, teammate: Person, stranger: Person
) -> None:
    assert bill(teammate, cur({})).status_code == 403
    assert not CostImport.objects.exists()
    # A stranger's bill cannot reach a tenant that is not theirs: its tag is unknown to them.
    foreign = bill(stranger, cur({}))
    assert foreign.json()["unknown_tags"] == {"acme": 1}
    assert balances(tenant_id=acme[0].id) == {}
    assert balances(tenant_id=stranger.team.id) != {}
    assert owner.api().get("/cost-imports").json()["results"] == []
    assert owner.api().get("/margin?period=2026-11").json()["totals"] == []


def test_a_key_of_some_tenants_sees_no_fleet(acme: Acme, owner: Person) -> None:
    _, token = api_key_create(
        team_id=owner.team.id,
        name="one",
        scopes=["billing:read", "billing:write"],
        tenant_ids=[acme[0].id],
        actor="test",
        now=clock.now(),
    )
    limited = ApiClient(token)
    assert limited.get("/tenants/acme/margin").status_code == 200
    for method, path in (("GET", "/margin"), ("GET", "/cost-imports"), ("POST", "/cost-imports")):
        answer = limited(method, path, b"" if method == "POST" else None, content_type="text/csv")
        assert answer.status_code == 403


def test_margins_of_a_tenant_and_of_the_fleet(acme: Acme, owner: Person, stranger: Person) -> None:
    bill(
        owner,
        cur({"line_item_unblended_cost": "30"}, {"line_item_unblended_cost": "6", "resource_tags": tag("")}),
    )
    one = owner.api().get("/tenants/acme/margin?period=2026-11").json()
    assert [(line["cost"], line["margin"], line["margin_percent"]) for line in one["lines"]] == [
        ("36", "-36", None)
    ]
    assert one["gpu"] == {"paid_hours": "0", "busy_hours": "0", "idle_hours": "0", "billed_hours": "0"}
    fleet = owner.api().get("/margin?period=2026-11").json()
    assert ([row["tenant"] for row in fleet["tenants"]], fleet["totals"][0]["cost"]) == (["acme"], "36")
    assert stranger.api().get("/margin?period=2026-11").json()["tenants"] == []
    assert owner.api().get("/margin?period=2026-13").status_code == 422


def test_the_command_imports_what_is_too_large_for_the_api(acme: Acme, owner: Person, tmp_path: Any) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(cur({}, {}))
    told = io.StringIO()
    call_command("costs_import", str(owner.team.id), str(path), stdout=told)
    assert balances(tenant_id=acme[0].id)["USD", "cost_infrastructure"] == 21
    path.write_text(cur({"line_item_unblended_cost": "?"}))
    with pytest.raises(CommandError, match="/lines/2"):
        call_command("costs_import", str(owner.team.id), str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("costs_import", str(UUID(int=1)), str(tmp_path / "nothing"))
