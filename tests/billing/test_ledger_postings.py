"""Revenue from accrual to payment: which accounts move, once, and what is refused."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.ledger import postings
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import balances
from billing.ledger.services import credit_grant_create
from controlplane.core.errors import Conflict, NotFound
from tests.support.ledger import AT, NOVEMBER, D

INVOICE = UUID(int=7)


@pytest.fixture
def tenant_id(db: None) -> UUID:
    return uuid4()


def held(tenant_id: UUID) -> dict[str, Decimal]:
    """Balances that are not zero."""
    return {account: amount for (_, account), amount in balances(tenant_id=tenant_id).items() if amount}


def accrue(tenant_id: UUID, total: str) -> Decimal:
    return postings.revenue_accrue(
        tenant_id=tenant_id, period=NOVEMBER, currency="USD", accrued_total=D(total), at=AT
    )


def invoice(tenant_id: UUID, subtotal: str = "100", **more: Any) -> JournalTransaction:
    terms = {"credits": D(0), "tax": D("19"), "invoice_id": INVOICE, "number": "F-1", **more}
    total = D(subtotal) - terms["credits"] + terms["tax"]
    return postings.invoice_post(
        tenant_id=tenant_id,
        period=NOVEMBER,
        currency="USD",
        subtotal=D(subtotal),
        total=more.get("total", total),
        at=AT,
        **{key: value for key, value in terms.items() if key != "total"},
    )


def pay(tenant_id: UUID, amount: str, reference: str = "p-1") -> JournalTransaction:
    return postings.invoice_paid_post(
        tenant_id=tenant_id, invoice_id=INVOICE, amount=D(amount), reference=reference, at=AT
    )


def test_accrual_posts_differences_up_and_down(tenant_id: UUID) -> None:
    assert [accrue(tenant_id, total) for total in ("40", "40", "100", "90")] == [40, 0, 60, -10]
    assert held(tenant_id) == {"customer_accrued": 90, "revenue": -90}


def test_an_invoice_turns_the_accrued_and_the_rest_into_a_receivable(tenant_id: UUID) -> None:
    accrue(tenant_id, "90")
    invoice(tenant_id)
    assert held(tenant_id) == {"customer_receivable": 119, "revenue": -100, "tax_payable": -19}
    assert invoice(tenant_id).pk == JournalTransaction.objects.get(kind="invoice").pk
    assert accrue(tenant_id, "130") == 0, "an invoiced period accrues no more"
    with pytest.raises(Conflict):
        invoice(tenant_id, "101")


def test_an_invoice_of_nothing_is_recorded_too(tenant_id: UUID) -> None:
    invoice(tenant_id, "0", tax=D(0))
    assert held(tenant_id) == {}
    assert accrue(tenant_id, "5") == 0


def test_a_void_accrues_the_revenue_again_and_returns_credits(tenant_id: UUID) -> None:
    grant(tenant_id, "30", "promotion")
    accrue(tenant_id, "90")
    before = held(tenant_id)
    assert apply(tenant_id, "119") == 30
    invoice(tenant_id, credits=D(30))
    for _ in range(2):
        postings.invoice_void_post(tenant_id=tenant_id, invoice_id=INVOICE, at=AT)
        assert held(tenant_id) == before
    assert accrue(tenant_id, "130") == 40


def test_what_was_paid_cannot_be_voided(tenant_id: UUID) -> None:
    invoice(tenant_id)
    pay(tenant_id, "19")
    with pytest.raises(Conflict) as caught:
        postings.invoice_void_post(tenant_id=tenant_id, invoice_id=INVOICE, at=AT)
    assert caught.value.code == "invoice_has_movements"


def test_payments_settle_once_per_reference_and_never_too_much(tenant_id: UUID) -> None:
    invoice(tenant_id)
    assert pay(tenant_id, "100").pk == pay(tenant_id, "100").pk
    with pytest.raises(Conflict) as caught:
        pay(tenant_id, "19.01", "p-2")
    assert caught.value.code == "payment_exceeds_invoice"
    pay(tenant_id, "19", "p-2")
    assert held(tenant_id) == {"cash": 119, "revenue": -100, "tax_payable": -19}


def test_what_was_given_up_can_still_come_in(tenant_id: UUID) -> None:
    invoice(tenant_id)
    pay(tenant_id, "19")
    for _ in range(2):
        postings.invoice_uncollectible_post(tenant_id=tenant_id, invoice_id=INVOICE, at=AT)
    assert held(tenant_id)["bad_debt"] == 100
    pay(tenant_id, "60", "p-2")
    assert held(tenant_id) == {"cash": 79, "bad_debt": 40, "revenue": -100, "tax_payable": -19}


def test_a_credit_note_settles_what_is_open_and_owes_the_rest_back(tenant_id: UUID) -> None:
    invoice(tenant_id)
    pay(tenant_id, "109")
    note = {
        "tenant_id": tenant_id,
        "credit_note_id": uuid4(),
        "invoice_id": INVOICE,
        "currency": "USD",
        "amount": D(50),
        "tax": D("9.50"),
        "at": AT,
    }
    assert postings.credit_note_post(**note).pk == postings.credit_note_post(**note).pk
    assert held(tenant_id) == {
        "cash": 109,
        "refund_payable": D("-49.5"),
        "revenue": -50,
        "tax_payable": D("-9.5"),
    }
    refund = {"tenant_id": tenant_id, "subject": INVOICE, "currency": "USD", "reference": "r", "at": AT}
    with pytest.raises(Conflict):
        postings.refund_post(amount=D("49.51"), **refund)
    postings.refund_post(amount=D("49.5"), **refund)
    assert held(tenant_id)["cash"] == D("59.5")


def grant(tenant_id: UUID, amount: str, source: str = "purchase", **more: Any) -> Any:
    terms = {"name": "c", "currency": "USD", "actor": "test", "now": AT, **more}
    return credit_grant_create(tenant_id=tenant_id, team_id=uuid4(), source=source, amount=D(amount), **terms)


def apply(tenant_id: UUID, up_to: str, invoice_id: UUID = INVOICE) -> Decimal:
    return postings.credits_apply(
        tenant_id=tenant_id, currency="USD", up_to=D(up_to), invoice_id=invoice_id, at=AT
    )


def test_credits_pay_and_gifts_reduce_revenue_when_they_are_used(tenant_id: UUID) -> None:
    grant(tenant_id, "20")
    grant(tenant_id, "30", "promotion")
    assert held(tenant_id) == {
        "cash": 20,
        "credit_liability": -20,
        "promotional_credits": -30,
        "promotional_issued": 30,
    }
    assert (apply(tenant_id, "40"), apply(tenant_id, "40")) == (40, 40)
    invoice(tenant_id, credits=D(40))
    assert held(tenant_id) == {
        "cash": 20,
        "credit_liability": -10,
        "customer_receivable": 79,
        "revenue": -100,
        "revenue_promotion": 30,
        "tax_payable": -19,
    }


def test_an_invoice_must_add_up_and_name_the_credits_that_were_applied(tenant_id: UUID) -> None:
    grant(tenant_id, "20")
    apply(tenant_id, "20")
    for wrong in ({"credits": D(0)}, {"credits": D("20.01")}, {"credits": D(20), "total": D(100)}):
        with pytest.raises(ValueError, match="invoice F-1"):
            invoice(tenant_id, **wrong)
    with pytest.raises(ValueError, match="whole number"):
        invoice(tenant_id, "100.001", credits=D(20))


def test_another_tenants_invoice_is_not_there(tenant_id: UUID) -> None:
    invoice(tenant_id)
    for post in (postings.invoice_void_post, postings.invoice_uncollectible_post):
        with pytest.raises(NotFound):
            post(tenant_id=uuid4(), invoice_id=INVOICE, at=AT)


def test_currencies_without_cents(tenant_id: UUID) -> None:
    with pytest.raises(ValueError, match="JPY"):
        postings.revenue_accrue(
            tenant_id=tenant_id, period=NOVEMBER, currency="JPY", accrued_total=D("1.5"), at=AT
        )
