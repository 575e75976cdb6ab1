"""The overview of a tenant's month says what the margin and the costs of the API say, and how far it is known."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.costs.models import CostImport, CostLine
from billing.costs.overview import cost_overview
from billing.costs.selectors import costs
from billing.directory import BilledCustomer
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.margin import margin
from billing.metering.gpu_time import gpu_time, gpu_times
from billing.metering.spans import spans_reconcile
from billing.period import Period
from contracts.stack import BillableResource
from tests.support.customers import ListedCustomers
from tests.support.ledger import AT, NOVEMBER, D

DAY = timedelta(days=1)


@pytest.fixture
def acme(db: None, customers: ListedCustomers) -> BilledCustomer:
    return customers.add("acme")


def post(book: UUID, account: str, amount: str, day: int = 0, currency: str = "USD", **more: Any) -> None:
    """On a day of November; 0 is the whole month."""
    start = NOVEMBER.start + (day - 1) * DAY
    against = accounts.CUSTOMER_ACCRUED if account == accounts.REVENUE else accounts.COST_CLEARING
    journal_post(
        **{
            "key": f"test:{uuid4()}", "kind": "test", "at": AT, "tenant_id": book, "currency": currency,
            "entries": [Entry(account, D(amount)), Entry(against, -D(amount))], "about": "",
            "period": Period(start, start + DAY) if day else NOVEMBER, **more,
        }
    )  # fmt: skip


def filled(book: UUID) -> None:
    post(book, accounts.REVENUE, "-100.01")
    for day, amount, gpu, unknown in ((3, "7.000000000001", "5", 0), (4, "8", "1.5", 2)):
        post(
            book, accounts.COST_INFRASTRUCTURE_ESTIMATED, amount, day, kind="cost_estimate",
            data={"gpu": gpu, "unknown": unknown}, at=AT + day * DAY,
        )  # fmt: skip
    post(book, accounts.COST_INFRASTRUCTURE_ESTIMATED, "-7.000000000001", 3, kind="cost_estimate_replaced")
    post(book, accounts.COST_INFRASTRUCTURE, "6.4", 3)
    post(book, accounts.COST_MODELS, "2.25", 4)
    post(book, accounts.COST_OVERHEAD, "1.1")
    post(book, accounts.COST_MODELS, "9", 4, currency="EUR")
    post(book, accounts.BAD_DEBT, "3")


def test_it_is_the_margin_of_the_api_and_its_days_are_the_costs(acme: BilledCustomer) -> None:
    filled(acme.id)
    gpu = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={})
    spans_reconcile(tenant_id=acme.id, resources=[gpu], at=NOVEMBER.start + 3 * DAY, operation_id=uuid4())

    found = cost_overview(tenant_id=acme.id, period=NOVEMBER, as_of=AT)
    asked = margin(tenant_id=acme.id, period=NOVEMBER, as_of=AT)

    assert found.lines == asked.lines
    assert found.gpu == asked.gpu
    assert {line.currency: line.idle_cost > 0 for line in found.lines} == {"EUR": False, "USD": True}
    told = costs(tenant_id=acme.id, period=NOVEMBER, as_of=AT)
    days = {
        (day["date"], day["currency"]): sum(map(Decimal, day["by_kind"].values())) for day in told["days"]
    }
    mine = {
        (day.day.isoformat(), currency): day.total - day.costs.get("bad_debt", Decimal(0))
        for currency, rows in found.days.items()
        for day in rows
    }
    assert mine == days
    assert found.known.unknown == told["unknown_resources"] == 2


def test_it_says_up_to_when_the_cost_is_estimated_and_billed(acme: BilledCustomer) -> None:
    filled(acme.id)
    before = cost_overview(tenant_id=acme.id, period=NOVEMBER, as_of=AT).known
    assert (before.estimated_until, before.estimated_at) == (date(2026, 11, 4), AT + 4 * DAY)
    assert (before.billed_until, before.billed_at, before.final) == (None, None, False)

    pool = uuid4()
    for number, final in ((1, True), (2, False)):
        file = CostImport.objects.create(
            pool_id=pool, feed="aws", format="cur", mode="add", sha256=str(number), lines=1, actor="t",
            created_at=AT + number * DAY,
        )  # fmt: skip
        CostLine.objects.create(
            pool_id=pool, feed="aws", billing_period="2026-11", line_id=str(number), book_id=acme.id,
            day=date(2026, 11, 2 + number), currency="USD", amount=D("3.2"), final=final, service="EC2",
            cost_import=file,
        )  # fmt: skip
    after = cost_overview(tenant_id=acme.id, period=NOVEMBER, as_of=AT)
    assert (after.known.billed_until, after.known.billed_at) == (date(2026, 11, 4), AT + 2 * DAY)
    assert after.known.final is False
    assert [(each.name, each.amount) for each in after.services] == [("EC2", D("6.4"))]
    CostLine.objects.update(final=True)
    assert cost_overview(tenant_id=acme.id, period=NOVEMBER, as_of=AT).known.final is True


def test_gpu_times_of_many_are_those_of_each(customers: ListedCustomers, db: None) -> None:
    several = [customers.add(slug) for slug in ("acme", "globex", "hooli")]
    gpu = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={})
    for number, each in enumerate(several[:2]):
        spans_reconcile(
            tenant_id=each.id,
            resources=[gpu],
            at=NOVEMBER.start + (number + 1) * DAY,
            operation_id=uuid4(),
        )
    asked = {"start": NOVEMBER.start, "end": NOVEMBER.end, "as_of": AT}
    found = gpu_times(tenant_ids=[each.id for each in several], **asked)  # type: ignore[arg-type]
    assert found == {each.id: gpu_time(tenant_id=each.id, **asked) for each in several}  # type: ignore[arg-type]
    assert [found[each.id].paid for each in several] == [29 * 24, 28 * 24, 0]
