"""The Cost tab and the margin of all tenants: the ledger's figures, how far they are known, order, CSV, who may."""

import csv
import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.period import Period, period_of
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
DAY = timedelta(days=1)


def post(tenant: Tenant, account: str, amount: str, start: datetime | None = None, **more: Any) -> None:
    now = clock.now()
    begins = start or period_of(now).start
    journal_post(
        **{
            "key": f"test:{uuid4()}", "kind": "test", "at": now, "tenant_id": tenant.pk, "currency": "USD",
            "entries": [Entry(account, Decimal(amount)), Entry(accounts.COST_CLEARING, -Decimal(amount))],
            "about": "", "period": Period(begins, begins + DAY), **more,
        }
    )  # fmt: skip


def _money(tenant: Tenant, revenue: str, cost: str) -> None:
    post(tenant, accounts.REVENUE, f"-{revenue}")
    post(
        tenant,
        accounts.COST_INFRASTRUCTURE_ESTIMATED,
        cost,
        kind="cost_estimate",
        data={"gpu": "0", "unknown": 1},
    )


def test_the_tab_shows_the_ledgers_figures_by_kind_and_day(
    owner: Person, browse: Browse, active: Active
) -> None:
    _money(active[0], "120.50", "40.25")
    post(active[0], accounts.COST_MODELS, "10.25")
    page = Page(browse(owner).get("/tenants/acme/cost/"))

    for said in ("$120.50", "$50.50", "$70.00", "58.09 %", "Infrastructure, estimated", "Model vendors"):
        assert said in page.text, said
    assert "Estimated : the provider's bill of this month was not imported yet" in page.text
    assert "1 resource of the stack has no known price" in page.text
    told = owner.api().get("/tenants/acme/costs").json()["unpriced"]
    models = sorted({row["model"] for row in told if row["meter"] == "output_tokens"})
    assert models
    assert f"No vendor price is known of {', '.join(models)}:" in page.text
    bars = [
        found
        for found in page.all("rect")
        if found.get("class", "").startswith("bar") and float(found["height"]) > 0
    ]
    assert len(bars) == 1
    assert_clean(page)
    assert_accessible(page)


def test_currencies_are_not_added_up(owner: Person, browse: Browse, active: Active) -> None:
    _money(active[0], "10", "4")
    post(active[0], accounts.COST_MODELS, "7", currency="EUR")
    client = browse(owner)

    euros = Page(client.get("/tenants/acme/cost/"))
    dollars = Page(client.get("/tenants/acme/cost/?currency=USD"))

    assert "€7.00" in euros.text
    assert "$4.00" not in euros.text
    assert "$4.00" in dollars.text
    assert "€7.00" not in dollars.text


def test_a_month_without_entries_says_what_would_come(owner: Person, browse: Browse, active: Active) -> None:
    for path in ("/tenants/acme/cost/?period=2020-01", "/margin/?period=2020-01"):
        page = Page(browse(owner).get(path))
        assert "freehold costs import" in page.text
        assert_clean(page)
        assert_accessible(page)
    assert Page(browse(owner).get("/margin/?period=soon")).status == 422


def test_margins_are_sorted_and_added_up_by_the_url(owner: Person, browse: Browse, active: Active) -> None:
    globex, _ = stories.provisioned(owner.principal, "globex", clock.now())
    _money(active[0], "100", "90")
    _money(globex, "50", "5")
    client = browse(owner)

    def rows(query: str) -> list[str]:
        page = Page(client.get(f"/margin/{query}"))
        assert_clean(page)
        assert_accessible(page)
        return [found["href"].split("/")[2] for found in page.all("a", **{"class": "cover"})]

    assert rows("") == ["acme", "globex"]
    assert rows("?sort=-margin") == ["globex", "acme"]
    assert rows("?sort=revenue") == ["globex", "acme"]
    assert rows("?sort=-percent") == ["globex", "acme"]
    assert rows("?sort=nonsense&page=9") == ["acme", "globex"]
    page = Page(client.get("/margin/"))
    for said in ("$150.00", "$95.00", "$55.00", "36.67 %", "No bill of a provider was imported"):
        assert said in page.text, said


def test_the_csv_has_a_row_for_each_tenant_and_the_sums(
    owner: Person, browse: Browse, active: Active
) -> None:
    _money(active[0], "100", "0.000000000001")
    answer = browse(owner).get("/margin/margin.csv")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["row"], row["tenant"]) for row in rows] == [("tenant", "acme"), ("total", "")]
    assert (rows[0]["revenue"], rows[0]["cost"], rows[0]["margin"]) == (
        "100",
        "0.000000000001",
        "99.999999999999",
    )
    assert rows[0]["infrastructure_estimated"] == "0.000000000001"


def test_a_viewer_may_look_and_a_stranger_sees_nothing(
    owner: Person, stranger: Person, browse: Browse, active: Active
) -> None:
    _money(active[0], "120.50", "40.25")
    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))
    for path in ("/tenants/acme/cost/", "/margin/", "/margin/margin.csv"):
        assert "120.5" in viewer.get(path).content.decode(), path
    outsider = browse(stranger)
    assert outsider.get("/tenants/acme/cost/").status_code == 404
    for path in ("/margin/", "/margin/margin.csv"):
        answer = outsider.get(path)
        assert answer.status_code == 200
        assert "acme" not in answer.content.decode().lower()
        assert "120.5" not in answer.content.decode()


def test_they_cost_few_queries_however_many_tenants_there_are(
    owner: Person, browse: Browse, active: Active, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        tenant, _ = stories.provisioned(owner.principal, f"tenant-{number}", clock.now())
        _money(tenant, "10", "4")
    _money(active[0], "10", "4")
    client = browse(owner)
    for path in ("/tenants/acme/cost/", "/margin/"):
        client.get(path)
        with django_assert_max_num_queries(12):
            client.get(path)
