"""A fleet's margin by one statement is each book's own margin: order, pages, sums, idle hours as they are kept."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import accounts
from billing.ledger.fleet import ORDERS, BookLine, Books, FleetLines, fleet_lines
from billing.ledger.gpu_kept import gpu_months_keep
from billing.ledger.journal import Entry, journal_post
from billing.ledger.margin import margin
from billing.ledger.models import MonthBalance, MonthGpu
from billing.metering.services import usage_ingest
from billing.metering.spans import spans_close_all, spans_reconcile
from billing.period import Period
from contracts.stack import BillableResource
from contracts.usage import RUN_USAGE
from tests.support.ledger import AT, NOVEMBER, D, kept_wrongly, together

TEAM = UUID(int=77)
TENANTS = [UUID(int=number) for number in range(1, 6)]
LABELS = ["globex", "acme", "initech", "hooli", "acme"]
START = datetime(2026, 11, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHOWN = [*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS]

postings = st.lists(
    st.tuples(
        st.sampled_from([*TENANTS, TEAM]),
        st.sampled_from(["USD", "EUR"]),
        st.sampled_from(SHOWN),
        st.decimals(min_value=-1000, max_value=1000, places=3).filter(bool),
    ),
    max_size=25,
)


def post(book: UUID, account: str, amount: Decimal, currency: str = "USD", **more: Any) -> None:
    against = accounts.CUSTOMER_ACCRUED if account == accounts.REVENUE else accounts.COST_CLEARING
    journal_post(
        **{
            "key": f"test:{uuid4()}", "kind": "test", "at": AT, "tenant_id": book, "currency": currency,
            "entries": [Entry(account, amount), Entry(against, -amount)], "about": "", "period": NOVEMBER, **more,
        }
    )  # fmt: skip


def estimate(book: UUID, amount: str, gpu: str) -> None:
    data = {"gpu": gpu, "unknown": 0}
    post(book, accounts.COST_INFRASTRUCTURE_ESTIMATED, D(amount), kind="cost_estimate", data=data)


def fleet(**more: Any) -> FleetLines:
    books = Books.listed(zip(TENANTS, LABELS, strict=True))
    return fleet_lines(**{"books": books, "pool_id": TEAM, "period": NOVEMBER, **more})


def gpus(tenant_id: UUID, start: datetime, end: datetime) -> None:
    one = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={})
    spans_reconcile(tenant_id=tenant_id, resources=[one], at=start, operation_id=uuid4())
    spans_close_all(tenant_id=tenant_id, at=end, operation_id=uuid4())


@pytest.fixture
def run(event: Callable[..., dict[str, Any]]) -> Callable[[UUID, datetime, timedelta], None]:
    def send(tenant_id: UUID, end: datetime, lasted: timedelta) -> None:
        duration = lasted // timedelta(milliseconds=1)
        told = event(str(uuid4()), time=end, type=RUN_USAGE, duration_ms=duration)
        taken = usage_ingest(tenant_id=tenant_id, subject="acme", events=[told], received_at=AT)
        assert taken.accepted == 1

    return send


def rank(each: BookLine, order: str) -> Any:
    if order == "tenant":
        return each.label
    if order == "percent":
        earned = each.line.revenue
        return each.line.margin / earned if earned > 0 else D("-Infinity")
    return each.line.idle_cost if order == "idle" else getattr(each.line, order)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    posted=postings, order=st.sampled_from(sorted(ORDERS)), descending=st.booleans(), size=st.integers(1, 7)
)
def test_every_line_is_the_books_own_margin_in_any_order_and_page(
    db: None, posted: list[Any], order: str, descending: bool, size: int
) -> None:
    with transaction.atomic():
        for book, currency, account, amount in posted:
            post(book, account, amount, currency)
        found = fleet()
        expected = {
            (book, line.currency): line
            for book in [*TENANTS, TEAM]
            for line in margin(tenant_id=book, period=NOVEMBER, as_of=AT).lines
        }
        assert {(each.book_id, each.line.currency): each.line for each in found.lines} == expected
        assert found.count == len(expected)
        for total in found.totals:
            own = [line for (_, currency), line in expected.items() if currency == total.currency]
            assert total.margin == sum(line.margin for line in own)
            assert total.costs == {kind: sum(line.costs[kind] for line in own) for kind in total.costs}

        whole = fleet(order=order, descending=descending).lines
        for currency in {each.line.currency for each in whole}:
            ranks = [rank(each, order) for each in whole if each.line.currency == currency]
            assert ranks == sorted(ranks, reverse=descending)
        pages = pages_of(whole, size)
        for number, wanted in enumerate(pages):
            asked = fleet(order=order, descending=descending, offset=number * size, limit=size)
            assert asked.lines == wanted
            assert asked.totals == found.totals
        beyond = fleet(order=order, descending=descending, offset=1000 * size, limit=size)
        assert beyond.lines == (pages[-1] if pages else ())
        assert kept_wrongly() == []
        transaction.set_rollback(True)


def pages_of(lines: Sequence[BookLine], size: int) -> list[tuple[BookLine, ...]]:
    return [tuple(lines[first : first + size]) for first in range(0, len(lines), size)]


def test_idle_cost_is_that_of_the_hours_last_kept(db: None, run: Callable[..., None]) -> None:
    gpus(TENANTS[0], START, START + 10 * HOUR)
    estimate(TENANTS[0], "100", "80")
    estimate(TENANTS[1], "100", "80")
    run(TENANTS[0], START + 4 * HOUR, 4 * HOUR)
    assert [(each.line.idle_cost, each.gpu) for each in fleet().lines] == [(0, None), (0, None)]
    assert fleet().gpu_known_at is None

    assert gpu_months_keep(now=AT) == 1
    assert gpu_months_keep(now=AT) == 0, "it is known already"
    idle = fleet(order="idle", descending=True)
    assert [(each.book_id, each.line.idle_cost) for each in idle.lines] == [(TENANTS[0], 48), (TENANTS[1], 0)]
    gpu = idle.lines[0].gpu
    assert gpu is not None
    assert (gpu.paid, gpu.busy, idle.totals[0].idle_cost, idle.gpu_known_at) == (10, 4, 48, AT)
    (own,) = margin(tenant_id=TENANTS[0], period=NOVEMBER, as_of=AT).lines
    assert idle.lines[0].line == own

    run(TENANTS[0], START + 10 * HOUR, 2 * HOUR)
    assert fleet().totals[0].idle_cost == 48, "told after the hours were kept"
    assert gpu_months_keep(now=AT + HOUR) == 1
    assert fleet().totals[0].idle_cost == 32


def test_a_month_with_parts_that_do_not_end_is_idle_to_the_last_digit(
    db: None, run: Callable[..., None]
) -> None:
    gpus(TENANTS[0], START, START + 7 * HOUR)
    run(TENANTS[0], START + 3 * HOUR, 3 * HOUR)
    estimate(TENANTS[0], "1000.000000000001", "333.333333333333")
    gpu_months_keep(now=AT)
    (own,) = margin(tenant_id=TENANTS[0], period=NOVEMBER, as_of=AT).lines
    assert own.idle_cost == D("190.476190476190")
    assert fleet().lines[0].line == own


def test_hours_of_months_long_over_are_kept_once(db: None, run: Callable[..., None]) -> None:
    gpus(TENANTS[0], START, START + 60 * 24 * HOUR)
    later = datetime(2027, 3, 5, tzinfo=UTC)
    assert gpu_months_keep(now=later) == 3, "November, December and January were never kept"
    assert {kept.month.month: kept.paid for kept in MonthGpu.objects.all()} == {11: 504, 12: 744, 1: 192}
    assert gpu_months_keep(now=later + HOUR) == 0
    MonthGpu.objects.filter(month=NOVEMBER.start).delete()
    assert gpu_months_keep(now=later + HOUR) == 1


def test_a_pass_ends_by_its_time_and_the_next_goes_on(db: None) -> None:
    for tenant_id in TENANTS:
        gpus(tenant_id, START, START + HOUR)
    assert gpu_months_keep(now=AT, longest_s=-1) == 0
    assert gpu_months_keep(now=AT) == len(TENANTS)


@pytest.mark.django_db(transaction=True)
def test_balances_are_kept_while_many_write_to_the_same_book() -> None:
    def write(number: int) -> None:
        for _ in range(10):
            post(TENANTS[number % 2], accounts.REVENUE, D(-1))

    assert together(6, write) == []
    kept = MonthBalance.objects.filter(account=accounts.REVENUE)
    assert sorted(kept.values_list("tenant_id", "amount")) == [(TENANTS[0], -30), (TENANTS[1], -30)]
    assert kept_wrongly() == []


@pytest.mark.django_db(transaction=True)
def test_what_was_posted_before_there_were_kept_months_is_added_once() -> None:
    """As an installation that is upgraded meets it."""
    try:
        estimate(TENANTS[0], "100", "80")
        call_command("migrate", "billing", "0009", verbosity=0)
        estimate(TENANTS[0], "50.5", "0.25")
        post(TENANTS[1], accounts.REVENUE, D(-7), period=Period(START, START + HOUR))
    finally:
        call_command("migrate", "billing", verbosity=0)
    post(TENANTS[1], accounts.REVENUE, D(-5))
    assert kept_wrongly() == []
    estimated = MonthBalance.objects.get(tenant_id=TENANTS[0], account=accounts.COST_INFRASTRUCTURE_ESTIMATED)
    assert (estimated.amount, estimated.priced, estimated.priced_gpu) == (D("150.5"), D("150.5"), D("80.25"))
    assert MonthBalance.objects.get(tenant_id=TENANTS[1], account=accounts.REVENUE).amount == -12
