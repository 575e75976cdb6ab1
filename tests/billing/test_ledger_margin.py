"""Margins are the ledger's own sums; GPU hours paid, busy and idle; accruals by the clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.directory import BilledCustomer
from billing.ledger import accounts, postings
from billing.ledger.accruals import accruals_post
from billing.ledger.billed import billed_gpu_hours
from billing.ledger.fleet import fleet_margin
from billing.ledger.gpu import GpuHours, gpu_hours
from billing.ledger.journal import Entry, journal_post
from billing.ledger.margin import margin
from billing.ledger.selectors import balances
from billing.ledger.shapes import margin_representation
from billing.metering.corrections import event_amend, event_void
from billing.metering.services import usage_ingest
from billing.metering.spans import spans_close_all, spans_reconcile
from contracts.stack import BillableResource
from contracts.usage import RUN_USAGE
from tests.support.customers import TEAM, ListedCustomers
from tests.support.ledger import AT, NOVEMBER, D

START = datetime(2026, 11, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def acme(db: None, customers: ListedCustomers) -> BilledCustomer:
    return customers.add("acme")


def post(book: UUID, account: str, amount: str, currency: str = "USD", **more: Any) -> None:
    against = accounts.CUSTOMER_ACCRUED if account == accounts.REVENUE else accounts.COST_CLEARING
    journal_post(
        **{
            "key": f"test:{uuid4()}",
            "kind": "test",
            "at": AT,
            "tenant_id": book,
            "currency": currency,
            "entries": [Entry(account, D(amount)), Entry(against, -D(amount))],
            "about": "",
            "period": NOVEMBER,
            **more,
        }
    )


def estimate(book: UUID, amount: str, gpu: str) -> None:
    post(
        book,
        accounts.COST_INFRASTRUCTURE_ESTIMATED,
        amount,
        kind="cost_estimate",
        data={"gpu": gpu, "unknown": 0},
    )


def of(book: UUID) -> Any:
    return margin(tenant_id=book, period=NOVEMBER, as_of=AT)


def test_a_margin_is_revenue_less_cost_by_the_ledger(acme: BilledCustomer) -> None:
    post(acme.id, accounts.REVENUE, "-100")
    post(acme.id, accounts.COST_INFRASTRUCTURE, "30.123456789")
    post(acme.id, accounts.COST_MODELS, "20")
    post(acme.id, accounts.COST_OVERHEAD, "5.5")
    post(acme.id, accounts.COST_MODELS, "1000", period=None)
    (line,) = of(acme.id).lines
    assert (line.revenue, line.not_invoiced, line.cost) == (100, 100, D("55.623456789"))
    assert (line.margin, line.margin_percent) == (D("44.376543211"), D("44.38"))
    shown = margin_representation(of(acme.id), slug="acme", period=NOVEMBER)["lines"][0]
    assert (shown["margin"], shown["margin_percent"], shown["costs"]["models"]) == (
        "44.376543211",
        "44.38",
        "20",
    )


def test_without_revenue_there_is_no_percentage_and_without_anything_no_line(acme: BilledCustomer) -> None:
    assert of(acme.id).lines == ()
    post(acme.id, accounts.COST_MODELS, "20")
    (line,) = of(acme.id).lines
    assert (line.margin, line.margin_percent) == (-20, None)


def test_currencies_are_never_added_up(acme: BilledCustomer) -> None:
    post(acme.id, accounts.REVENUE, "-100", "EUR")
    post(acme.id, accounts.COST_MODELS, "20")
    assert [(line.currency, line.margin) for line in of(acme.id).lines] == [("EUR", 100), ("USD", -20)]


def test_gifts_breakage_and_bad_debt_count(acme: BilledCustomer) -> None:
    for account, amount in (
        (accounts.REVENUE, "-100"),
        (accounts.REVENUE_PROMOTION, "10"),
        (accounts.REVENUE_BREAKAGE, "-4"),
        (accounts.BAD_DEBT, "20"),
    ):
        post(acme.id, account, amount)
    (line,) = of(acme.id).lines
    assert (line.revenue, line.cost, line.margin) == (94, 20, 74)


def test_the_fleet_is_its_tenants_and_what_nobody_took(
    acme: BilledCustomer, customers: ListedCustomers
) -> None:
    globex = customers.add("globex")
    post(acme.id, accounts.REVENUE, "-100")
    post(globex.id, accounts.COST_MODELS, "30")
    post(TEAM, accounts.COST_OVERHEAD, "7")
    rows, totals = fleet_margin(pool_id=TEAM, tenants=[acme, globex], period=NOVEMBER, billed={})
    assert [(row.book_id, [line.margin for line in row.lines]) for row in rows] == [
        (acme.id, [100]),
        (globex.id, [-30]),
        (TEAM, [-7]),
    ]
    assert [(line.revenue, line.cost, line.margin) for line in totals] == [(100, 37, 63)]


def gpus(tenant_id: UUID, count: int, start: datetime, end: datetime) -> None:
    resources = [
        BillableResource(meter="gpu_hours", slot=n, resource=f"gpu-{n}", dimensions={}) for n in range(count)
    ]
    spans_reconcile(tenant_id=tenant_id, resources=resources, at=start, operation_id=uuid4())
    spans_close_all(tenant_id=tenant_id, at=end, operation_id=uuid4())


Runs = Callable[..., None]


@pytest.fixture
def runs(event: Callable[..., dict[str, Any]]) -> Runs:
    """Sends ends of runs: (hours after START, hours that it lasted)."""

    def send(tenant_id: UUID, *ends: tuple[float, float]) -> None:
        events = [
            event(
                str(uuid4()), time=START + after * HOUR, type=RUN_USAGE, duration_ms=int(lasted * 3_600_000)
            )
            for after, lasted in ends
        ]
        assert usage_ingest(
            tenant_id=tenant_id, subject="acme", events=events, received_at=AT
        ).accepted == len(ends)

    return send


def hours(tenant_id: UUID, as_of: datetime = AT) -> tuple[Decimal, Decimal]:
    found = gpu_hours(tenant_id=tenant_id, period=NOVEMBER, as_of=as_of, billed=D(0))
    return found.paid, found.busy


def test_runs_at_the_same_time_are_busy_once_and_only_while_there_is_a_gpu(
    acme: BilledCustomer, runs: Runs
) -> None:
    gpus(acme.id, 1, START, START + 10 * HOUR)
    # 1-3 and 2-4 overlap, 5-6 lies within 4.5-6.5, the first began before the GPU, the last ended after it.
    runs(acme.id, (0.5, 2), (3, 2), (4, 2), (6, 1), (6.5, 2), (11, 2))
    assert hours(acme.id) == (10, D("0.5") + 3 + 2 + 1)


def test_every_gpu_is_busy_while_a_run_is_going(acme: BilledCustomer, runs: Runs) -> None:
    gpus(acme.id, 2, START, START + 10 * HOUR)
    runs(acme.id, (4, 1))
    assert hours(acme.id) == (20, 2)


def test_a_run_that_was_taken_back_kept_nothing_busy(
    acme: BilledCustomer, event: Callable[..., dict[str, Any]]
) -> None:
    gpus(acme.id, 1, START, START + 10 * HOUR)
    run = event("r-1", time=START + 3 * HOUR, type=RUN_USAGE, duration_ms=3_600_000)
    assert usage_ingest(tenant_id=acme.id, subject="acme", events=[run], received_at=AT).accepted == 1
    assert hours(acme.id) == (10, 1)
    what = {"tenant_id": acme.id, "source": run["source"], "event_id": "r-1", "actor": "test", "at": AT}
    longer = event("r-1", time=START + 3 * HOUR, type=RUN_USAGE, duration_ms=7_200_000)
    event_amend(**what, reason="its clock stood", body=longer)
    assert hours(acme.id) == (10, 2)
    event_void(**what, reason="it never ran")
    assert hours(acme.id) == (10, 0)


def test_hours_end_with_the_period_and_with_now(acme: BilledCustomer, runs: Runs) -> None:
    gpus(acme.id, 1, NOVEMBER.start - 5 * HOUR, NOVEMBER.end + 5 * HOUR)
    assert hours(acme.id)[0] == 30 * 24
    assert hours(acme.id, START) == (9 * 24, 0)
    assert hours(uuid4()) == (0, 0)


def test_idle_cost_is_the_gpus_share_of_what_was_not_busy(acme: BilledCustomer, runs: Runs) -> None:
    gpus(acme.id, 1, START, START + 10 * HOUR)
    runs(acme.id, (4, 4))
    estimate(acme.id, "100", "80")
    assert of(acme.id).lines[0].idle_cost == 48, "60 % of 80"
    # The bill says 200 instead: the GPUs' share of it stays the plan's.
    post(acme.id, accounts.COST_INFRASTRUCTURE_ESTIMATED, "-100", kind="cost_estimate_replaced")
    post(acme.id, accounts.COST_INFRASTRUCTURE, "200")
    (line,) = of(acme.id).lines
    assert (line.cost, line.idle_cost) == (200, 96)
    assert GpuHours(D(0), D(0), D(0)).idle_share == 0


def test_billed_hours_are_the_rated_ones(db: None, customers: ListedCustomers) -> None:
    card = {
        "key": "pro",
        "version": 1,
        "base_fee": "0",
        "prices": [{"meter": "gpu_hours", "unit_price": "2", "included": "4"}],
    }
    acme = customers.add("acme", rate_card=card)
    gpus(acme.id, 1, START, START + 10 * HOUR)
    assert billed_gpu_hours(customer=acme, period=NOVEMBER, as_of=AT) == 6


def test_accruals_by_the_clock_follow_the_charges_until_the_invoice(
    acme: BilledCustomer, customers: ListedCustomers
) -> None:
    customers.add("later", created_at=datetime(2027, 1, 1, tzinfo=UTC))
    broken = customers.add("broken", rate_card={})
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert [accruals_post(now=noon), accruals_post(now=noon)] == [2, 0]
    assert balances(tenant_id=acme.id, period=NOVEMBER)["USD", "customer_accrued"] == 31
    assert balances(tenant_id=acme.id)["USD", "customer_accrued"] == 62
    assert balances(tenant_id=broken.id) == {}
    postings.invoice_post(
        tenant_id=acme.id,
        invoice_id=uuid4(),
        number="F-1",
        period=NOVEMBER,
        currency="USD",
        subtotal=D(31),
        credits=D(0),
        tax=D(0),
        total=D(31),
        at=noon,
    )
    assert accruals_post(now=noon + timedelta(days=1)) == 0
    (line,) = of(acme.id).lines
    assert (line.revenue, line.not_invoiced) == (31, 0)
