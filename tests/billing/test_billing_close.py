"""The close of a month: each tenant's invoice exactly once, held where figures differ, whatever is killed."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from billing.invoicing import close as closing
from billing.invoicing import issuing, services, states
from billing.invoicing.models import Invoice, PeriodClose, Settlement, TenantClose
from billing.invoicing.parties import legal_entity_of
from billing.ledger.accounts import CUSTOMER_ACCRUED, CUSTOMER_RECEIVABLE
from billing.ledger.postings import revenue_accrue
from billing.metering.models import UsageRollup
from controlplane.core.errors import Conflict
from controlplane.core.models import AuditEvent
from tests.billing.shop import AT, CARD, NOVEMBER, OCTOBER, TEAM, Shop, Street, shop_make

NO_WAIT = timedelta(0)
POINTS = ("started", "drafted", "credited", "numbered", "posted", "committed")


@pytest.fixture
def street(settings: Any) -> Iterator[list[Shop]]:
    settings.BILLING_CUSTOMERS = "tests.billing.shop.Street"
    Street.shops = []
    yield Street.shops
    Street.shops = []


def _begin(at: datetime = AT) -> PeriodClose:
    return closing.period_close_begin(team_id=TEAM, period=OCTOBER, at=at, actor="t", grace=NO_WAIT)


def _run(close: PeriodClose, at: datetime = AT) -> dict[str, str]:
    closing.period_close(close_id=close.pk, at=at, actor="t")
    return dict(close.tenants.values_list("slug", "state"))


def test_every_customer_that_lived_in_the_month_gets_its_invoice(db: None, street: list[Shop]) -> None:
    october = datetime(2026, 10, 20, tzinfo=UTC)
    street += [
        shop_make("lives"),
        shop_make("ended", ended_at=october),
        shop_make("ended-before", ended_at=datetime(2026, 9, 30, tzinfo=UTC)),
        shop_make("came-after", created_at=AT),
        shop_make("free", card={**CARD, "base_fee": "0"}),
    ]
    close = _begin()
    assert _run(close) == {"lives": "invoiced", "ended": "invoiced", "free": "skipped"}
    close.refresh_from_db()
    assert (close.state, close.finished_at) == ("done", AT)
    assert sorted(Invoice.objects.values_list("number", flat=True)) == ["INV-000001", "INV-000002"]
    assert not Invoice.objects.filter(state=states.DRAFT).exists()
    assert _run(close) == {"lives": "invoiced", "ended": "invoiced", "free": "skipped"}
    assert Invoice.objects.count() == 2


def test_late_events_are_waited_for(db: None, street: list[Shop], settings: Any) -> None:
    settings.FREEHOLD_INVOICE_GRACE_HOURS = 48
    for at, code in ((OCTOBER.end - timedelta(seconds=1), "period_open"), (AT, "period_in_grace")):
        with pytest.raises(Conflict) as caught:
            closing.period_close_begin(team_id=TEAM, period=OCTOBER, at=at, actor="t")
        assert caught.value.code == code
    street.append(shop_make())
    assert closing.period_closes_due(at=AT, period=OCTOBER, actor="t") == []
    (due,) = closing.period_closes_due(at=AT + timedelta(days=1), period=OCTOBER, actor="t")
    assert closing.period_closes_due(at=AT + timedelta(days=2), period=OCTOBER, actor="t") == [due]


def test_drift_of_the_rollups_holds_a_tenant_until_it_is_released(db: None, street: list[Shop]) -> None:
    drifted, fine = shop_make("drifted"), shop_make("fine")
    street += [drifted, fine]
    drifted.use("1", 5000)
    UsageRollup.objects.filter(tenant_id=drifted.customer.id).update(value=5001)
    close = _begin()
    assert _run(close) == {"drifted": "held", "fine": "invoiced"}
    close.refresh_from_db()
    turn = close.tenants.get(slug="drifted")
    assert close.state == "held"
    (figures,) = turn.detail["usage"]
    assert (figures["meter"], figures["rollups"], figures["events"]) == ("input_tokens", "5001", "5000")
    assert (turn.detail["draft_total"], turn.invoice.state) == ("115.00", "draft")
    assert _run(close)["drifted"] == "held", "another run does not let it through"
    closing.tenant_close_release(
        close=close, tenant_id=drifted.customer.id, reason="counted by hand", at=AT, actor="fay"
    )
    assert _run(close)["drifted"] == "invoiced"
    released = AuditEvent.objects.get(action="period_close.released")
    assert (released.actor, released.data["reason"]) == ("fay", "counted by hand")
    close.refresh_from_db()
    assert close.state == "done"
    assert Invoice.objects.get(tenant_id=drifted.customer.id).total == Decimal(115), (
        "by the events themselves"
    )
    with pytest.raises(Conflict):
        closing.tenant_close_release(
            close=close, tenant_id=drifted.customer.id, reason="again", at=AT, actor="fay"
        )


def test_accrued_revenue_that_rating_denies_holds_a_tenant(
    db: None, street: list[Shop], settings: Any
) -> None:
    shop = shop_make()
    street.append(shop)
    accrue = {
        "tenant_id": shop.customer.id,
        "period": OCTOBER,
        "currency": "USD",
        "at": AT - timedelta(hours=1),
    }
    revenue_accrue(accrued_total=Decimal("100.11"), **accrue)
    close = _begin()
    assert _run(close) == {"acme": "held"}
    told = close.tenants.get().detail["accrued"]
    assert (told["accrued"], told["rated"]) == ("100.11", "100.00")
    settings.FREEHOLD_CLOSE_TOLERANCE_PERMILLE = 2
    closing.tenant_close_release(
        close=close, tenant_id=shop.customer.id, reason="0.11 of rounding", at=AT, actor="fay"
    )
    assert _run(close) == {"acme": "invoiced"}
    assert (shop.balance(CUSTOMER_ACCRUED), shop.balance(CUSTOMER_RECEIVABLE)) == (0, 100)


def test_one_tenants_failure_is_kept_and_tried_again(
    db: None, street: list[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    street += [shop_make("fails"), shop_make("fine")]
    real = issuing.invoice_post

    def refuse(**kwargs: Any) -> Any:
        if kwargs["tenant_id"] == street[0].customer.id:
            raise Conflict("the books are locked", code="books_locked")
        return real(**kwargs)

    monkeypatch.setattr(issuing, "invoice_post", refuse)
    close = _begin()
    assert _run(close) == {"fails": "failed", "fine": "invoiced"}
    assert close.tenants.get(slug="fails").detail == {
        "code": "books_locked",
        "reason": "the books are locked",
    }
    monkeypatch.undo()
    assert _run(close) == {"fails": "invoiced", "fine": "invoiced"}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == ["INV-000001", "INV-000002"]


class Killed(BaseException):
    """What a SIGKILL leaves of a transaction: nothing."""


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_and_run_again_gives_the_same_invoices_once(
    transactional_db: None, street: list[Shop], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    for number in range(3):
        shop = shop_make(f"t{number}")
        shop.use("1", 1000 * (number + 1))
        street.append(shop)
    close, passed = _begin(), []

    def crash(name: str) -> None:
        passed.append(name)
        if name == f"billing.close.{point}" and passed.count(name) == 2:
            raise Killed

    for module in (closing, issuing):
        monkeypatch.setattr(module, "crash_point", crash)
    with pytest.raises(Killed):
        closing.period_close(close_id=close.pk, at=AT, actor="t")
    street[2].use("late", 50_000, known=AT + timedelta(minutes=1))
    assert _run(close, AT + timedelta(hours=1)) == {f"t{number}": "invoiced" for number in range(3)}
    issued = Invoice.objects.order_by("number")
    assert list(issued.values_list("number", "total")) == [
        ("INV-000001", Decimal(103)), ("INV-000002", Decimal(106)), ("INV-000003", Decimal(109)),
    ]  # fmt: skip
    assert [shop.balance(CUSTOMER_RECEIVABLE) for shop in street] == [103, 106, 109]


def test_runs_side_by_side_issue_each_invoice_once(transactional_db: None, street: list[Shop]) -> None:
    street += [shop_make(f"t{number}") for number in range(6)]
    legal_entity_of(team_id=TEAM, at=AT)
    close = _begin()

    def run() -> None:
        try:
            closing.period_close(close_id=close.pk, at=AT, actor="t")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert numbers == [f"INV-{number:06d}" for number in range(1, 7)]
    assert set(TenantClose.objects.values_list("state", flat=True)) == {"invoiced"}


def test_what_came_late_for_the_month_before_is_on_this_months_invoice(db: None, street: list[Shop]) -> None:
    shop = shop_make()
    street.append(shop)
    assert _run(_begin()) == {"acme": "invoiced"}
    shop.use("late", 2000, known=AT + timedelta(days=3))
    december = datetime(2026, 12, 2, tzinfo=UTC)
    close = closing.period_close_begin(team_id=TEAM, period=NOVEMBER, at=december, actor="t", grace=NO_WAIT)
    assert _run(close, december) == {"acme": "invoiced"}
    invoice = Invoice.objects.get(period_start=NOVEMBER.start)
    assert [(line.kind, line.amount, line.start) for line in invoice.lines.order_by("position")] == [
        ("base_fee", Decimal(100), NOVEMBER.start), ("correction", Decimal(6), OCTOBER.start),
    ]  # fmt: skip
    assert Settlement.objects.get().state == "invoiced"


def test_an_invoice_that_was_finalized_by_hand_is_left_alone(db: None, street: list[Shop]) -> None:
    shop = shop_make()
    street.append(shop)
    by_hand = shop.issue()
    close = _begin(AT + timedelta(hours=1))
    assert _run(close) == {"acme": "invoiced"}
    assert close.tenants.get().invoice == by_hand
    assert services.amount_due(by_hand) == Decimal(100)
