"""The pages of money in a real browser, filled: readable in both themes, on a phone, and usable without scripts."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from billing.budgets.evaluate import budget_evaluate
from billing.budgets.figures import Spends
from billing.budgets.models import Budget
from billing.budgets.services import budget_create
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.services import credit_grant_create
from billing.period import Period, period_of
from billing.reports.links import report_link_create
from billing.reports.schedules import report_schedule_create
from controlplane.core import clock
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit
from tests.browser.test_portal import CONTRAST, SMALL_TARGETS
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser


@pytest.fixture
def filled(owner: Person) -> list[str]:
    """acme with some of everything that money pages show; their paths."""
    tenant, _ = stories.provisioned(owner.principal, "acme", clock.now(), name="Acme Corporation")
    now = clock.now()
    stories.used(tenant, [stories.model_call("acme", number, now) for number in range(5)], now)
    paths = []
    for scope in (tenant.pk, None):
        budget, _ = budget_create(
            team_id=tenant.team_id, tenant_id=scope, name="Platform", amount=Decimal(1), currency="USD", actor="t",
            now=now, secret_bytes=bytes(32), emails=["finance@example.com"],
            thresholds=[{"percent": "100", "actions": ["alert", "block_runs"]}, {"percent": "9999"}],
        )  # fmt: skip
        budget_evaluate(budget_id=budget.pk, spends=Spends(now))
        paths.append(f"/tenants/acme/budgets/{budget.pk}/" if scope else f"/budgets/{budget.pk}/")
        report_schedule_create(
            team_id=tenant.team_id, tenant_id=scope, cadence="monthly", actor="t", now=now, secret_bytes=bytes(32),
            emails=["finance@example.com"],
        )  # fmt: skip
    report_link_create(
        team_id=tenant.team_id, tenant_id=tenant.pk, label="For finance", days=30, secret="s" * 40, actor="t", now=now
    )  # fmt: skip
    credit_grant_create(
        tenant_id=tenant.pk, team_id=tenant.team_id, name="Prepaid", source="purchase", currency="USD",
        amount=Decimal("1250.50"), reason="Order 4711", actor="t", now=now,
    )  # fmt: skip
    start = period_of(now).start
    for account, amount in ((accounts.REVENUE, "-12.50"), (accounts.COST_INFRASTRUCTURE_ESTIMATED, "31.75")):
        journal_post(
            key=f"test:{uuid4()}", kind="cost_estimate", at=now, tenant_id=tenant.pk, currency="USD",
            entries=[Entry(account, Decimal(amount)), Entry(accounts.COST_CLEARING, -Decimal(amount))],
            about="", period=Period(start, start + timedelta(days=1)), data={"gpu": "0", "unknown": 2},
        )  # fmt: skip
    tabs = ("budgets", "cost", "credits", "usage", "billing")
    return [*paths, "/budgets/", "/margin/", "/usage/", *(f"/tenants/acme/{tab}/" for tab in tabs)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_money_is_readable(visit: OpenVisit, owner: Person, filled: list[str], scheme: str) -> None:
    here = visit(color_scheme=scheme)
    page = here.sign_in(owner)
    poor: dict[str, list[str]] = {}
    for path in filled:
        page.goto(here.address + path)
        assert page.locator("h1").count() == 1, path
        for shut in page.locator("main details").all():
            shut.evaluate("each => { each.open = true }")
        if found := [*page.evaluate(CONTRAST), *page.evaluate(SMALL_TARGETS)]:
            poor[path] = found
    assert poor == {}


def test_money_fits_on_a_phone(visit: OpenVisit, owner: Person, filled: list[str]) -> None:
    here = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = here.sign_in(owner)
    wide = []
    for path in filled:
        page.goto(here.address + path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert wide == []


@pytest.mark.parametrize("scripts", [True, False])
def test_a_budget_is_set_with_and_without_scripts(visit: OpenVisit, owner: Person, scripts: bool) -> None:
    stories.provisioned(owner.principal, "acme", clock.now())
    here = visit(java_script_enabled=scripts)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/budgets/")
    page.get_by_role("link", name="New budget").click()
    page.get_by_label("Name").fill("Platform")
    page.get_by_label("Amount for a month").fill("1")
    page.get_by_role("group", name="What threshold 3 does").get_by_label("refuse new runs").check()
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_text("The block begins at once")).to_be_visible()
    assert Budget.objects.count() == 0

    page.get_by_label("Amount for a month").fill("5000")
    page.get_by_role("button", name="Save the budget").click()
    expect(page.get_by_text("The block would not begin this month")).to_be_visible()
    assert Budget.objects.count() == 0

    page.get_by_role("button", name="Save the budget").click()
    expect(page.get_by_text("is saved and was evaluated")).to_be_visible()
    assert Budget.objects.get(tenant_id=Tenant.objects.get().pk).amount == 5000
