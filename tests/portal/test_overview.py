"""The overview: what needs whoever looks is there and leads on, what does not is not, and it stays cheap."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing.budgets.models import Budget, BudgetAlert
from billing.invoicing.models import Invoice, PeriodClose, TenantClose
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.trend import MonthLine, margin_trend, months_until
from billing.period import Period, month_start, period_of
from billing.reports.models import ReportDelivery, ReportSchedule
from billing.standing.services import standing_hold
from controlplane.accounts.access import Principal
from controlplane.accounts.selectors import principal_of_user
from controlplane.core import clock
from controlplane.core.outbound.models import OutboundMessage
from controlplane.operations.models import Operation
from controlplane.operations.services import operation_retry
from controlplane.portal import kept
from controlplane.portal.trend import trend_chart
from controlplane.tenants.attention import tenant_books
from controlplane.tenants.component_health import looks_settle
from controlplane.tenants.looks import Look
from controlplane.tenants.models import HealthChange, Tenant
from controlplane.tenants.standing import standing_enact
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]


def needs(page: Page) -> list[tuple[str, str]]:
    """(what a button of the list does, where it leads)"""
    return [
        (found["aria-label"], found["href"])
        for found in page.all("a", **{"class": "button small"})
        if "aria-label" in found
    ]


def wanting(tenant: Tenant, now: datetime) -> None:
    """A row for each thing that billing can want of a person."""
    shared = {"team_id": tenant.team_id, "tenant_id": tenant.pk}
    budget = {
        "amount": Decimal(100),
        "currency": "USD",
        "thresholds": [],
        "created_by": "test",
        "created_at": now,
        "updated_at": now,
        "next_evaluation_at": now,
    }
    reached = Budget.objects.create(**shared, name="Agents", **budget)
    for percent in (80, 100):
        BudgetAlert.objects.create(
            budget=reached, period=period_of(now).key, on="actual", percent=percent, actions=[],
            amount=100, value=percent, figures={}, fired_at=now,
        )  # fmt: skip
    Budget.objects.create(team_id=tenant.team_id, name="Everyone", problem="No card prices it.", **budget)
    month = period_of(month_start(now) - timedelta(days=1))
    close = PeriodClose.objects.create(
        team_id=tenant.team_id, period_start=month.start, period_end=month.end, state="held",
        known_at=now, started_by="test", created_at=now,
    )  # fmt: skip
    TenantClose.objects.create(
        close=close,
        tenant_id=tenant.pk,
        slug=tenant.slug,
        state="held",
        detail={"reason": "drift"},
        updated_at=now,
    )
    Invoice.objects.create(
        id=uuid4(), **shared, state="finalized", number="F-7", currency="USD", period_start=month.start,
        period_end=month.end, as_of=now, known_at=now, created_at=now, finalized_at=now, due_at=now - timedelta(days=3),
    )  # fmt: skip
    schedule = ReportSchedule.objects.create(
        **shared,
        cadence="monthly",
        format="pdf",
        created_by="test",
        created_at=now,
        updated_at=now,
        next_at=now,
    )
    ReportDelivery.objects.create(
        schedule=schedule, due_on=now.date(), period=month.key, problem="No card prices it.", created_at=now
    )
    OutboundMessage.objects.create(
        team_id=tenant.team_id, key="k", channel="webhook", subject="budget.reached", state="failed",
        last_error="410 Gone", next_attempt_at=now, created_at=now, ended_at=now,
    )  # fmt: skip


def test_without_tenants_it_teaches_the_first_command(owner: Person, browse: Browse) -> None:
    page = Page(browse(owner).get("/"))

    assert "No tenants yet" in page.text
    assert "freehold tenants create acme --plan starter --target local" in page.text
    assert page.all("a", href="/", aria_current="page")


def test_nothing_needs_you_is_said_only_when_nothing_does(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)

    page = Page(client.get("/"))
    assert "Nothing needs you" in page.text
    assert needs(page) == []
    assert page.all("a", href="/tenants/?health=healthy")

    stories.failed(owner.principal, "hooli", clock.now())
    assert "Nothing needs you" not in Page(client.get("/")).text


def test_an_approval_leads_to_the_decision_or_only_to_a_look(
    owner: Person, teammate: Person, stranger: Person, browse: Browse
) -> None:
    waiting = stories.awaiting_approval(owner.principal, "umbrella", clock.now())[1]
    link = f"/operations/{waiting.pk}/"

    mine = Page(browse(owner).get("/"))
    assert needs(mine) == [("Decide: Provision waits for your approval of umbrella", link)]
    assert "Approval was asked for with the request." in mine.text
    assert_clean(mine)
    assert_accessible(mine)
    theirs = Page(browse(teammate).get("/"))
    assert needs(theirs) == [("Look: Provision waits for an approval of umbrella", link)]
    assert not theirs.all("a", href="/tenants/new/")
    nobodys = Page(browse(stranger).get("/"))
    assert needs(nobodys) == []
    assert "umbrella" not in nobodys.html


def test_a_failure_counts_until_something_newer_was_asked_for(owner: Person, browse: Browse) -> None:
    failed = stories.failed(owner.principal, "hooli", clock.now())[1]
    client = browse(owner)

    page = Page(client.get("/"))
    assert needs(page) == [("See why: Provision failed of hooli", f"/operations/{failed.pk}/")]
    assert stories.ERROR["title"] in page.text

    operation_retry(operation=failed, actor="test", now=clock.now())
    after = Page(client.get("/"))
    assert needs(after) == []
    assert "Under way" in after.text
    assert after.all("a", href=f"/operations/{failed.pk}/")


def test_health_says_since_when_and_what(owner: Person, browse: Browse, active: Active) -> None:
    HealthChange.objects.all().delete()
    since = clock.now() - timedelta(days=2)
    looks = [Look("postgres", "unhealthy", "nothing listens on its port")]
    looks_settle(tenant_id=active[0].pk, looks=looks, now=since)
    page = Page(browse(owner).get("/"))

    assert needs(page) == [("Look: Unhealthy of acme", "/tenants/acme/")]
    assert any(found["title"].startswith(f"{since:%Y-%m-%d %H:%M}") for found in page.all("time"))
    Tenant.objects.update(lifecycle="suspended")
    assert needs(Page(browse(owner).get("/"))) == [], "a tenant that rests is not ill"


def test_a_standing_says_why(owner: Person, browse: Browse, active: Active) -> None:
    tenant = active[0]
    standing_hold(
        tenant_id=tenant.pk, team_id=tenant.team_id, source="budget:x", standing="capped",
        reason="100 % of the budget Agents is spent.", at=clock.now(), actor="test",
    )  # fmt: skip
    standing_enact(tenant_id=tenant.pk, now=clock.now())
    page = Page(browse(owner).get("/"))

    assert needs(page) == [("Look: Capped of acme", "/tenants/acme/billing/")]
    assert "100 % of the budget Agents is spent." in page.text


def test_billing_asks_for_what_only_people_decide(owner: Person, browse: Browse, active: Active) -> None:
    wanting(active[0], clock.now())
    page = Page(browse(owner).get("/"))

    for said in (
        "Budget Agents: 100 % reached",
        "Budget Everyone cannot be evaluated",
        "is held",
        "freehold invoices release",
        "Invoice F-7 is overdue",
        "could not be written",
        "Not delivered: budget.reached",
        "410 Gone",
    ):
        assert said in page.text, said
    assert "80 % reached" not in page.text, "one row for each budget"
    assert_clean(page)
    assert_accessible(page)
    Budget.objects.update(problem="")
    BudgetAlert.objects.update(rearmed_at=clock.now())
    assert "Budget " not in Page(browse(owner).get("/")).text


def test_a_member_limited_to_some_tenants_sees_those_only(
    owner: Person, browse: Browse, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    other, _ = stories.failed(owner.principal, "hooli", now)
    wanting(other, now)
    post(other, "5.00", now)

    def limited(*, user: Any) -> Principal | None:
        found = principal_of_user(user=user)
        return found and replace(found, tenant_ids=frozenset({active[0].pk}))

    monkeypatch.setattr("controlplane.portal.pages.principal_of_user", limited)
    page = Page(browse(owner).get("/"))

    assert "Nothing needs you" in page.text
    assert "1 tenant" in page.text
    assert "Of the tenants that your access is limited to" in page.text
    for path in ("/", "/tenants/", "/operations/"):
        offered = Page(browse(owner).get(path)).all("a", href="/tenants/new/")
        assert not offered, "it could not see what it made"
    for hidden in ("hooli", "Everyone", "F-7", "410 Gone", "Agents", "$5.00"):
        assert hidden not in page.html, hidden


def test_it_costs_as_much_for_many_tenants_as_for_few(
    owner: Person, browse: Browse, active: Active, django_assert_max_num_queries: Any
) -> None:
    client, now = browse(owner), clock.now()
    wanting(active[0], now)
    post(active[0], "5.00", now)
    for number in range(3):
        stories.failed(owner.principal, f"hooli-{number}", now)
        stories.awaiting_approval(owner.principal, f"umbrella-{number}", now)
    with django_assert_max_num_queries(12):
        assert client.get("/").status_code == 200


def post(tenant: Tenant, amount: str, at: datetime, *, cost: str = "0", currency: str = "USD") -> None:
    """Revenue, and what it cost, of the month that `at` lies in."""
    entries = [Entry(accounts.CUSTOMER_ACCRUED, Decimal(amount)), Entry(accounts.REVENUE, -Decimal(amount))]
    if cost != "0":
        entries += [
            Entry(accounts.COST_INFRASTRUCTURE_ESTIMATED, Decimal(cost)),
            Entry(accounts.COST_CLEARING, -Decimal(cost)),
        ]
    journal_post(
        key=f"test:{uuid4()}", kind="accrual", at=at, tenant_id=tenant.pk, currency=currency, entries=entries,
        about="test", period=Period(start=at, end=at + timedelta(days=1)),
    )  # fmt: skip


def test_the_trend_sums_months_and_keeps_currencies_apart(owner: Person, active: Active) -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    other, _ = stories.failed(owner.principal, "hooli", clock.now())
    for tenant, amount, cost, at in (
        (active[0], "10.00", "4", now),
        (other, "5.00", "3", now),
        (active[0], "7.00", "9", datetime(2026, 2, 28, 23, 59, tzinfo=UTC)),
        (active[0], "99.00", "0", datetime(2025, 12, 31, tzinfo=UTC)),
    ):
        post(tenant, amount, at, cost=cost)
    post(active[0], "2.00", now, currency="EUR")
    books = tenant_books(principal=owner.principal)

    found = margin_trend(tenants=books, pool_id=owner.team.pk, months=months_until(now=now, count=3))

    assert list(found) == ["USD", "EUR"]
    assert [(f"{line.month:%m}", line.revenue, line.cost, line.margin) for line in found["USD"]] == [
        ("01", Decimal(0), Decimal(0), Decimal(0)),
        ("02", Decimal(7), Decimal(9), Decimal(-2)),
        ("03", Decimal(15), Decimal(7), Decimal(8)),
    ]
    assert found["USD"][2].estimated == 7
    assert [line.revenue for line in found["EUR"]] == [0, 0, 2]


def test_the_chart_and_its_table_say_the_same(owner: Person, browse: Browse, active: Active) -> None:
    post(active[0], "10.00", clock.now(), cost="4")
    page = Page(browse(owner).get("/"))

    drawn = [found for found in page.all("rect") if found.get("class", "").startswith("bar ")]
    bars = {found["class"]: float(found["height"]) for found in drawn if float(found["height"]) > 0}
    assert bars["bar revenue"] == pytest.approx(2.5 * bars["bar cost"], abs=0.1)
    for amount in ("$10.00", "$4.00", "$6.00"):
        assert amount in page.text
    assert page.all("polyline")


def test_the_trend_is_summed_up_once_in_a_while_for_each_view(
    owner: Person, browse: Browse, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, now = browse(owner), clock.now()
    post(active[0], "10.00", now)
    assert "$10.00" in Page(client.get("/")).text
    post(active[0], "7.00", now)
    assert "$10.00" in Page(client.get("/")).text, "it says as of when it is"

    def gone(*args: object, **kwargs: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(kept.cache, "get", gone)
    monkeypatch.setattr(kept.cache, "set", gone)
    assert "$17.00" in Page(client.get("/")).text, "without Redis the page is there, and right"


def test_a_loss_hangs_below_the_line() -> None:
    month = datetime(2026, 3, 1, tzinfo=UTC)
    chart = trend_chart([MonthLine(month, "USD", Decimal(10), Decimal(40), Decimal(0))])

    (shown,) = chart.months
    assert 0 < chart.zero < chart.height
    assert shown.margin_y > chart.zero
    assert all(bar.y + bar.height == pytest.approx(chart.zero) for bar in shown.bars)
    assert chart.y_labels == ("40", "20", "0", "-20", "-40")


def test_months_of_nothing_are_drawn_flat() -> None:
    month = datetime(2026, 3, 1, tzinfo=UTC)
    chart = trend_chart([MonthLine(month, "USD", Decimal(0), Decimal(0), Decimal(0))])

    assert [bar.height for bar in chart.months[0].bars] == [0, 0]
    assert chart.zero == chart.height
