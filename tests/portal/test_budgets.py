"""The pages of budgets: the effect before saving, what is saved, who may, and what the standing says."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.budgets.evaluate import budget_evaluate
from billing.budgets.figures import Spends
from billing.budgets.models import Budget
from billing.budgets.preview import budget_preview
from billing.budgets.services import budget_create, budget_draft, budget_update
from billing.standing.selectors import actions_held
from billing.standing.services import standing_hold
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import StandingEnactment, Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]

HOME = "/tenants/acme/budgets/"
FORM = {
    "name": "Platform",
    "amount": "500",
    "emails": "finance@example.com",
    "on_unknown": "open",
    "percent-0": "80",
    "on-0": "actual",
    "actions-0": ["alert"],
    "percent-1": "100",
    "on-1": "actual",
    "actions-1": ["alert", "block_runs"],
    "percent-2": "",
    "on-2": "actual",
    "actions-2": ["alert"],
}


def _saved(client: Any, path: str = HOME + "new/", **fields: Any) -> Any:
    """Through both steps of the form."""
    form = {**FORM, **fields}
    shown = Page(client.post(path, {**form, "form_key": "seen", "etag": fields.get("etag", "")}))
    assert shown.status == 200, shown.text
    return client.post(
        path, {**form, "form_key": shown.value("form_key"), "previewed": shown.value("previewed")}
    )


@pytest.fixture
def budget(owner: Person, browse: Browse, active: Active) -> Budget:
    assert _saved(browse(owner)).headers["Location"] == HOME
    return Budget.objects.get()


def test_without_budgets_the_page_says_how_to_set_one(owner: Person, browse: Browse, active: Active) -> None:
    for path, command in (
        (HOME, "freehold budgets set --tenant acme"),
        ("/budgets/", "freehold budgets set"),
    ):
        page = Page(browse(owner).get(path))
        assert "No budgets yet" in page.text
        assert command in page.text
        assert_clean(page)
        assert_accessible(page)


def test_the_effect_is_shown_first_and_nothing_is_saved_by_it(
    owner: Person, browse: Browse, active: Active
) -> None:
    page = Page(browse(owner).post(HOME + "new/", {**FORM, "form_key": "k"}))

    assert page.status == 200
    assert "The block would not begin this month at today's rate." in page.text
    assert Budget.objects.count() == 0
    assert_clean(page)
    assert_accessible(page)


def test_a_budget_that_is_spent_already_would_block_at_once(
    owner: Person, browse: Browse, active: Active
) -> None:
    page = Page(browse(owner).post(HOME + "new/", {**FORM, "amount": "1"}))

    assert "The block begins at once: 100 % spent is $1.00, and that is reached." in page.text
    assert "3 agents that ran this month refuse new runs; open runs finish." in page.text
    assert "Whom the budget names is told." in page.text


def test_a_budget_that_stops_nothing_and_tells_nobody_says_so(
    owner: Person, browse: Browse, active: Active
) -> None:
    page = Page(browse(owner).post(HOME + "new/", {**FORM, "emails": "", "actions-1": ["alert"]}))

    assert "No threshold stops anything" in page.text
    assert "Nobody is named" not in page.text  # nothing is reached
    reached = Page(browse(owner).post(HOME + "new/", {**FORM, "emails": "", "amount": "1"}))
    assert "Nobody is named: it shows here alone." in reached.text


def test_what_is_saved_is_evaluated_and_listed(owner: Person, browse: Browse, budget: Budget) -> None:
    assert budget.tenant_id == Tenant.objects.get(slug="acme").pk
    assert budget.emails == ["finance@example.com"]
    assert [each["percent"] for each in budget.thresholds] == ["80", "100"]
    assert budget.evaluated_at is not None

    page = Page(browse(owner).get(HOME))
    assert "Platform" in page.text
    assert page.all("svg", role="img")
    assert "Evaluated just now" in page.text
    assert page.all("span", title="budget: ok")
    assert_clean(page)
    assert_accessible(page)


def test_a_value_that_changed_after_the_effect_is_not_saved_unseen(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    shown = Page(client.post(HOME + "new/", FORM))

    again = client.post(HOME + "new/", {**FORM, "amount": "1", "previewed": shown.value("previewed")})

    assert again.status_code == 200
    assert "begins at once" in Page(again).text
    assert Budget.objects.count() == 0


def test_the_same_form_sent_twice_saves_once(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    shown = Page(client.post(HOME + "new/", FORM))
    form = {**FORM, "form_key": shown.value("form_key"), "previewed": shown.value("previewed")}

    assert [client.post(HOME + "new/", form).status_code for _ in range(2)] == [302, 302]
    assert Budget.objects.count() == 1


def test_wrong_values_are_named(owner: Person, browse: Browse, active: Active) -> None:
    wrong = {
        "name": ({"name": " "}, "must be 1 to 100 characters"),
        "amount": ({"amount": "much"}, "must be a number"),
        "cents": ({"amount": "1.001"}, "has more places than USD has"),
        "percent": ({"percent-0": "-3"}, "Threshold 1 (percent) must be a decimal above 0"),
        "nothing": ({"actions-1": []}, "Threshold 2 (actions) must be one or more of"),
        "emails": ({"emails": "nobody"}, "Address 1 is not an e-mail address"),
    }
    for fields, said in wrong.values():
        page = Page(browse(owner).post(HOME + "new/", {**FORM, **fields}))
        assert page.status == 422
        assert said in page.text
        assert_clean(page)
        assert_accessible(page)
    assert Budget.objects.count() == 0


def test_a_budget_is_changed_and_deleted_by_its_page(owner: Person, browse: Browse, budget: Budget) -> None:
    client = browse(owner)
    path = f"{HOME}{budget.pk}/"
    page = Page(client.get(path))
    assert page.value("amount") == "500"
    assert "No threshold was reached yet" in page.text
    assert_accessible(page)

    assert _saved(client, path, amount="1", etag=page.value("etag")).status_code == 302
    budget.refresh_from_db()
    assert budget.amount == 1
    page = Page(client.get(path))
    assert "100 % spent" in page.text
    assert "email pending" in page.text
    home = Page(client.get(HOME))
    assert "100 % of the budget Platform" in home.text
    assert home.all("span", title="billing: capped")

    raised = {**FORM, "amount": "900", "etag": page.value("etag")}
    assert "New runs are allowed again" in Page(client.post(path, raised)).text

    assert client.post(path + "delete/").headers["Location"] == HOME
    assert Budget.objects.count() == 0
    assert "Nothing holds this tenant" in Page(client.get(HOME)).text


def test_a_budget_that_somebody_else_changed_meanwhile_is_not_overwritten(
    owner: Person, browse: Browse, budget: Budget
) -> None:
    client = browse(owner)
    path = f"{HOME}{budget.pk}/"
    etag = Page(client.get(path)).value("etag")
    assert _saved(client, path, amount="700", etag=etag).status_code == 302

    refused = _saved(client, path, amount="800", etag=etag)

    assert "changed since it was read" in Page(client.get(refused.headers["Location"])).text
    budget.refresh_from_db()
    assert budget.amount == 700


def test_a_budget_of_the_fleet_blocks_all_tenants(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    page = Page(client.post("/budgets/new/", {**FORM, "currency": "USD", "amount": "1"}))
    assert "All 1 tenant of the team refuse new runs" in page.text

    assert _saved(client, "/budgets/new/", currency="USD").headers["Location"] == "/budgets/"
    assert Budget.objects.get().tenant_id is None
    full = Page(client.get("/budgets/"))
    assert "Platform" in full.text
    assert_clean(full)
    assert_accessible(full)
    other = _saved(client, "/budgets/new/", currency="EUR", name="Euro")
    assert other.status_code == 302
    assert "is billed in USD, the budget is in EUR" in Page(client.get("/budgets/")).text


@pytest.mark.parametrize("before", [None, "1", "20"])
@pytest.mark.parametrize("after", ["1", "20", "900"])
@pytest.mark.parametrize("on", ["actual", "forecast"])
def test_what_is_foretold_is_what_the_evaluation_then_does(
    owner: Person, active: Active, before: str | None, after: str, on: str
) -> None:
    """New budgets and changed ones, raised and lowered, around what is spent and forecast."""
    keys = {"team_id": owner.team.id, "tenant_id": active[0].pk}
    thresholds = [
        {"percent": "50", "on": on, "actions": ["alert"]},
        {"percent": "90", "on": on, "actions": ["alert", "block_runs"]},
        {"percent": "100", "on": on, "actions": ["scale_gpu_to_zero"]},
    ]
    now = clock.now()
    said: dict[str, Any] = {
        "name": "B",
        "currency": "USD",
        "thresholds": thresholds,
        "actor": "t",
        "now": now,
    }
    stored = None
    if before is not None:
        stored, _ = budget_create(**keys, **said, amount=Decimal(before), secret_bytes=bytes(32))
        stored = budget_evaluate(budget_id=stored.pk, spends=Spends(now))
    draft = budget_draft(**keys, **said, amount=Decimal(after))
    foretold = budget_preview(draft=draft, stored=stored, now=now)

    if stored is None:
        stored, _ = budget_create(**keys, **said, amount=Decimal(after), secret_bytes=bytes(32))
    else:
        changes = {"amount": Decimal(after)}
        stored, _ = budget_update(budget=stored, changes=changes, actor="t", now=now, secret_bytes=bytes(32))
    budget_evaluate(budget_id=stored.pk, spends=Spends(now))

    held = actions_held(source=f"budget:{stored.pk}")
    assert foretold.effect.actions - {"alert"} == held
    fired = {
        (alert.on, Decimal(alert.percent).normalize())
        for alert in stored.alerts.filter(rearmed_at__isnull=True)
    }
    assert {each.threshold.key for each in foretold.effect.thresholds if each.acts} == fired


def test_the_standing_says_why_since_when_and_what_was_done(
    owner: Person, browse: Browse, active: Active
) -> None:
    tenant, now = active[0], clock.now()
    standing_hold(
        tenant_id=tenant.pk, team_id=tenant.team_id, source="budget:x", standing="capped",
        reason="100 % of the budget Platform is spent.", actions=["block_runs"], at=now - timedelta(hours=2), actor="t",
    )  # fmt: skip
    StandingEnactment.objects.create(tenant=tenant, runs_paused=True, told_at=now, looked_at=now)

    page = Page(browse(owner).get(HOME))

    assert "100 % of the budget Platform is spent." in page.text
    assert "since 2 h ago" in page.text
    assert "The runtime was told to refuse new runs just now" in page.text
    assert "always current" not in page.text


def test_a_viewer_looks_and_changes_nothing_and_a_stranger_finds_nothing(
    owner: Person, stranger: Person, browse: Browse, budget: Budget
) -> None:
    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))
    path = f"{HOME}{budget.pk}/"
    for each in (HOME, path, "/budgets/"):
        page = Page(viewer.get(each))
        assert page.status == 200
        assert [found["action"] for found in page.all("form", method="post")] == ["/account/logout/"]
    assert viewer.get(HOME + "new/").status_code == 403
    for each in (HOME + "new/", path, path + "delete/", "/budgets/new/"):
        assert viewer.post(each, FORM).status_code == 403, each

    outsider = browse(stranger)
    for each in (HOME, HOME + "new/", path, f"/budgets/{budget.pk}/"):
        assert outsider.get(each).status_code == 404, each
    for each in (HOME + "new/", path, path + "delete/", f"/budgets/{budget.pk}/delete/"):
        assert outsider.post(each, FORM).status_code == 404, each
    assert "Platform" not in Page(outsider.get("/budgets/")).html
    assert list(Budget.objects.values_list("amount", flat=True)) == [500]
    assert viewer.get(f"/budgets/{budget.pk}/").status_code == 404


def test_the_lists_cost_few_queries(
    owner: Person, browse: Browse, budget: Budget, django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    for number in range(5):
        _saved(client, name=f"Budget {number}")
        _saved(client, "/budgets/new/", name=f"Budget {number}", currency="USD")
    for path in (HOME, "/budgets/"):
        client.get(path)
        with django_assert_max_num_queries(12):
            client.get(path)
