"""Invoices: drafted, issued once with a number that leaves no gap, and never changed again."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from billing.invoicing import services, states
from billing.invoicing.credit_notes import credit_note_issue
from billing.invoicing.models import Invoice, InvoiceLine, InvoiceSeries
from billing.invoicing.numbering import number_take
from billing.invoicing.parties import billing_profile_update, legal_entity_of, legal_entity_update
from billing.invoicing.recompute import invoice_as_known
from billing.invoicing.selectors import invoice_preview
from billing.invoicing.settling import late_usage_settle
from billing.ledger import accounts
from billing.ledger.services import credit_grant_create
from billing.metering.corrections import event_void
from controlplane.core.errors import Conflict, ValidationFailed
from controlplane.core.models import AuditEvent
from tests.billing.shop import AT, CARD, NOVEMBER, OCTOBER, TEAM, Shop, shop_make


@pytest.fixture
def shop(db: None) -> Shop:
    return shop_make()


def _grant(shop: Shop, amount: str) -> None:
    credit_grant_create(
        tenant_id=shop.customer.id, team_id=TEAM, name="top-up", source="purchase",
        currency=shop.customer.rate_card["currency"], amount=Decimal(amount), actor="t", now=AT - timedelta(days=3),
    )  # fmt: skip


def test_an_invoice_is_what_its_draft_and_preview_were(shop: Shop) -> None:
    shop.use("1", 5000)
    shop.use("2", 2000, model="m-2")
    preview = invoice_preview(customer=shop.customer, period=OCTOBER, as_of=AT, card=shop.customer.fallback)
    draft = shop.draft()
    assert (str(draft.pk), draft.number, draft.state) == (preview["id"], None, "draft")
    invoice = services.invoice_finalize(invoice=draft, customer=shop.customer, at=AT, actor="t")
    assert (invoice.number, invoice.state, invoice.pk) == ("INV-000001", "finalized", draft.pk)
    assert [(line.kind, line.amount) for line in invoice.lines.order_by("position")] == [
        ("base_fee", Decimal(100)), ("usage", Decimal(15)), ("usage", Decimal(2)),
    ]  # fmt: skip
    assert [str(line.pk) for line in invoice.lines.order_by("position")] == [
        line["id"] for line in preview["lines"]
    ]
    assert (invoice.subtotal, invoice.total, preview["total"]) == (Decimal(117), Decimal(117), "117.00")
    assert invoice.due_at == AT + timedelta(days=14)
    assert (invoice.buyer["name"], invoice.seller["name"]) == ("Acme", "Freehold")
    assert shop.balance(accounts.CUSTOMER_RECEIVABLE) == Decimal(117)
    assert [event.action for event in AuditEvent.objects.order_by("sequence")][-1] == "invoice.finalized"


def test_a_period_is_invoiced_once_and_only_when_it_is_over(shop: Shop) -> None:
    with pytest.raises(Conflict, match="ends at") as caught:
        shop.issue(NOVEMBER)
    assert caught.value.code == "period_open"
    shop.issue()
    with pytest.raises(Conflict) as caught:
        shop.draft()
    assert caught.value.code == "already_invoiced"
    assert Invoice.objects.filter(state=states.FINALIZED).count() == 1


def test_an_ended_tenants_last_month_need_not_be_over(db: None) -> None:
    shop = shop_make(ended_at=datetime(2026, 11, 2, tzinfo=UTC))
    assert shop.issue(NOVEMBER).number == "INV-000001"


def test_an_issued_invoice_does_not_change(shop: Shop) -> None:
    invoice = shop.issue()
    line = invoice.lines.get()
    changes: list[Callable[[], object]] = [
        lambda: Invoice.objects.filter(pk=invoice.pk).update(total=1),
        lambda: Invoice.objects.filter(pk=invoice.pk).update(buyer={"name": "Other"}),
        lambda: Invoice.objects.filter(pk=invoice.pk).update(state="draft", number=None),
        lambda: Invoice.objects.filter(pk=invoice.pk)._raw_delete("default"),
        lambda: InvoiceLine.objects.filter(pk=line.pk).update(amount=1),
        lambda: InvoiceLine.objects.filter(pk=line.pk)._raw_delete("default"),
        lambda: InvoiceLine.objects.filter(pk=line.pk).update(invoice=shop.draft(NOVEMBER)),
        lambda: InvoiceLine.objects.create(**{**_columns(line), "id": uuid4(), "position": 9}),
    ]
    for change in changes:
        with pytest.raises(IntegrityError, match="issued"), transaction.atomic():
            change()
    note = credit_note_issue(invoice=invoice, amount=Decimal(1), reason="goodwill", at=AT, actor="t")
    with pytest.raises(IntegrityError, match="credit note"), transaction.atomic():
        type(note).objects.filter(pk=note.pk).update(amount=2)


def _columns(line: InvoiceLine) -> dict[str, Any]:
    return {field.attname: getattr(line, field.attname) for field in line._meta.concrete_fields}


@pytest.mark.django_db(transaction=True)
def test_numbers_have_no_gap_with_twenty_at_once_and_rollbacks() -> None:
    shops = [shop_make(f"t{number}") for number in range(20)]
    legal_entity_of(team_id=TEAM, at=AT)
    drafts = [shop.draft() for shop in shops]
    failed: list[str] = []

    def finalize(number: int) -> None:
        try:
            with transaction.atomic():
                services.invoice_finalize(
                    invoice=drafts[number], customer=shops[number].customer, at=AT, actor="t"
                )
                if number % 4 == 0:
                    raise RuntimeError("rolled back after the number was taken")
        except RuntimeError:
            failed.append(shops[number].customer.slug)
        finally:
            connection.close()

    threads = [threading.Thread(target=finalize, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = sorted(Invoice.objects.exclude(number=None).values_list("number", flat=True))
    assert len(failed) == 5
    assert numbers == [f"INV-{number:06d}" for number in range(1, 16)]
    assert InvoiceSeries.objects.get(kind="invoice").next_number == 16


def test_a_number_is_taken_in_a_transaction_only() -> None:
    with pytest.raises(RuntimeError):
        number_take(legal_entity=None, kind="invoice")  # type: ignore[arg-type]


def test_credits_pay_first_and_a_covered_invoice_is_paid_at_once(shop: Shop) -> None:
    _grant(shop, "40")
    first = shop.issue()
    assert (first.subtotal, first.credits, first.total, first.state) == (100, 40, 60, "finalized")
    _grant(shop, "250")
    second = shop.issue(NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    assert (second.subtotal, second.credits, second.total) == (100, 100, 0)
    assert (second.state, second.paid_amount) == ("paid", 0)
    assert shop.balance(accounts.CREDIT_LIABILITY) == Decimal(-150), "what was not needed is still there"


def test_taxes_are_rounded_line_by_line_after_credits(shop: Shop) -> None:
    rates = [{"country": "DE", "rate": "0.19", "since": "2026-01-01"}]
    legal_entity_update(
        team_id=TEAM,
        changes={"name": "Seller GmbH", "country": "DE", "tax_provider": "fixed", "tax_rates": rates},
        actor="t",
        at=AT,
    )
    shop.use("1", 5)
    _grant(shop, "10.01")
    invoice = shop.issue()
    charges = list(invoice.lines.exclude(kind="tax").order_by("position"))
    # 100.02 less 10.01: the credits' shares are 10.01 and 0.00, the bases 89.99 and 0.02.
    assert [(line.amount, line.tax_amount) for line in charges] == [
        (Decimal(100), Decimal("17.10")), (Decimal("0.02"), Decimal(0)),
    ]  # fmt: skip
    tax = invoice.lines.get(kind="tax")
    assert (tax.description, tax.amount, invoice.tax, invoice.total) == (
        "VAT 19 %", Decimal("17.10"), Decimal("17.10"), Decimal("107.11"),
    )  # fmt: skip
    assert shop.balance(accounts.TAX_PAYABLE) == Decimal("-17.10")


def test_a_business_in_another_country_of_the_eu_accounts_for_the_tax_itself(shop: Shop) -> None:
    rates = [{"country": country, "rate": "0.2", "since": "2026-01-01"} for country in ("DE", "FR")]
    legal_entity_update(
        team_id=TEAM, changes={"country": "DE", "tax_provider": "fixed", "tax_rates": rates}, actor="t", at=AT
    )
    french = {"country": "FR", "tax_id": "FR40303265045"}
    billing_profile_update(tenant_id=shop.customer.id, team_id=TEAM, changes=french, actor="t", at=AT)
    invoice = shop.issue()
    assert (invoice.tax, "Reverse charge" in invoice.tax_note, invoice.buyer["tax_id"]) == (
        0,
        True,
        "FR40303265045",
    )


def test_a_currency_without_minor_units(db: None) -> None:
    shop = shop_make(card={**CARD, "currency": "JPY"})
    shop.use("1", 5500)
    invoice = shop.issue()
    assert (invoice.currency, invoice.total) == ("JPY", Decimal(117)), "100 + 16.5 rounded once, half up"
    assert all(line.amount == line.amount.to_integral_value() for line in invoice.lines.all())


def test_paying_voiding_and_giving_up(shop: Shop) -> None:
    invoice = shop.issue()
    with pytest.raises(ValidationFailed, match=r"100\.00"):
        services.invoice_pay(invoice=invoice, reference="bank 7", at=AT, actor="t", amount=Decimal(99))
    services.invoice_uncollectible(invoice=invoice, reason="insolvent", at=AT, actor="t")
    services.invoice_pay(invoice=invoice, reference="bank 7", at=AT, actor="t")
    assert (invoice.state, invoice.paid_amount, services.amount_due(invoice)) == ("paid", 100, 0)
    assert (shop.balance(accounts.CASH), shop.balance(accounts.BAD_DEBT)) == (100, 0)
    with pytest.raises(Conflict) as caught:
        services.invoice_void(invoice=invoice, reason="late", at=AT, actor="t")
    assert caught.value.code == "invoice_state"


def test_a_void_invoice_makes_room_for_another_with_the_next_number(shop: Shop) -> None:
    first = shop.issue()
    services.invoice_void(invoice=first, reason="wrong address", at=AT, actor="t")
    second = shop.issue()
    assert (first.state, first.number, second.number) == ("void", "INV-000001", "INV-000002")
    assert first.pk != second.pk
    assert shop.balance(accounts.CUSTOMER_RECEIVABLE) == Decimal(100)


def test_credit_notes_have_a_series_of_their_own_and_never_exceed_the_invoice(shop: Shop) -> None:
    invoice = shop.issue()
    note = credit_note_issue(invoice=invoice, amount=Decimal(30), reason="outage", at=AT, actor="t")
    assert (note.number, note.total, services.amount_due(invoice)) == ("CN-000001", 30, 70)
    with pytest.raises(ValidationFailed, match="more than is left"):
        credit_note_issue(invoice=invoice, amount=Decimal("70.01"), reason="x", at=AT, actor="t")
    with pytest.raises(ValidationFailed, match="positive number"):
        credit_note_issue(invoice=invoice, amount=Decimal("0.001"), reason="x", at=AT, actor="t")
    with pytest.raises(Conflict) as caught:
        services.invoice_void(invoice=invoice, reason="x", at=AT, actor="t")
    assert caught.value.code == "invoice_credited"


# --- late usage --------------------------------------------------------------------------------------------

LATER = AT + timedelta(days=5)


def test_late_usage_waits_for_the_next_invoice_as_a_correction_of_its_own_period(shop: Shop) -> None:
    shop.use("1", 5000)
    invoice = shop.issue()
    assert late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t") is None
    shop.use("2", 1000, known=LATER)
    settlement = late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t")
    again = late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t")
    assert settlement is not None
    assert settlement == again
    assert (settlement.state, settlement.net) == ("pending", Decimal(3))
    following = shop.issue(NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    correction = following.lines.get(kind="correction")
    assert (correction.amount, correction.used, correction.start) == (3, 1000, OCTOBER.start)
    assert following.total == Decimal(103)
    december = datetime(2026, 12, 3, tzinfo=UTC)
    assert late_usage_settle(invoice=invoice, customer=shop.customer, at=december, actor="t") is None


def test_late_usage_at_once_is_an_invoice_of_its_own(shop: Shop) -> None:
    invoice = shop.issue()
    shop.use("2", 1000, known=LATER)
    settlement = late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t", at_once=True)
    assert settlement is not None
    assert settlement.invoice is not None
    issued = settlement.invoice
    assert (issued.kind, issued.number, issued.total, issued.period_start) == (
        "correction", "INV-000002", 3, OCTOBER.start,
    )  # fmt: skip
    assert (
        late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t", at_once=True) is None
    )


def test_usage_taken_back_becomes_a_credit_note(shop: Shop) -> None:
    shop.use("1", 5000)
    invoice = shop.issue()
    runtime = "/tenants/acme/runtime/0"
    event_void(tenant_id=shop.customer.id, source=runtime, event_id="1", reason="a test", actor="t", at=LATER)
    settlement = late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t")
    assert settlement is not None
    assert settlement.credit_note is not None
    assert (settlement.state, settlement.net, settlement.credit_note.total) == ("credited", -15, 15)
    assert late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t") is None
    assert services.amount_due(invoice) == Decimal(100)


def test_what_waits_is_made_anew_when_more_comes_in_and_waits_again_after_a_void(shop: Shop) -> None:
    invoice = shop.issue()
    shop.use("2", 1000, known=LATER)
    late_usage_settle(invoice=invoice, customer=shop.customer, at=LATER, actor="t")
    shop.use("3", 2000, known=LATER + timedelta(hours=1))
    newer = late_usage_settle(
        invoice=invoice, customer=shop.customer, at=LATER + timedelta(hours=2), actor="t"
    )
    assert newer is not None
    assert newer.net == Decimal(9)
    assert sorted(invoice.settlements.values_list("state", flat=True)) == ["dropped", "pending"]
    december = datetime(2026, 12, 2, tzinfo=UTC)
    carried = shop.issue(NOVEMBER, december)
    assert carried.total == Decimal(109)
    services.invoice_void(invoice=carried, reason="x", at=december, actor="t")
    newer.refresh_from_db()
    assert (newer.state, newer.invoice) == ("pending", None)
    assert shop.issue(NOVEMBER, december).total == Decimal(109)


def test_an_invoice_is_computed_again_as_known_then(shop: Shop) -> None:
    shop.use("1", 5000)
    shop.use("2", 700, model="m-2")
    invoice = shop.issue()
    shop.use("3", 9000, known=LATER)
    then = invoice_as_known(invoice=invoice, at=invoice.known_at)
    assert (then.differs, then.subtotal) == (False, invoice.subtotal)
    now = invoice_as_known(invoice=invoice, at=LATER)
    assert (now.differs, now.subtotal) == (True, invoice.subtotal + 27)
