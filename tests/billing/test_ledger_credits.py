"""Credits: the order in which they are used, what expires, and that nobody spends one twice."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from billing.ledger.consumption import consumption
from billing.ledger.grants import credit_balances, grants_remaining
from billing.ledger.models import CreditGrant
from billing.ledger.postings import credits_apply, invoice_post, invoice_void_post
from billing.ledger.selectors import balances
from billing.ledger.services import credit_grant_create, credit_grant_void, credits_expire
from controlplane.core.audit import audit_verify
from controlplane.core.errors import Conflict, ValidationFailed
from controlplane.core.models import AuditEvent
from tests.support.ledger import AT, NOVEMBER, D, together, unbalanced

DAY = timedelta(days=1)


def grant(tenant_id: UUID, amount: str = "10", **more: Any) -> CreditGrant:
    terms = {"name": "c", "source": "purchase", "currency": "USD", "now": AT, **more}
    return credit_grant_create(
        tenant_id=tenant_id, team_id=UUID(int=5), amount=D(amount), actor="olivia", **terms
    )


def apply(tenant_id: UUID, up_to: str, invoice_id: UUID | None = None, at: Any = AT) -> Decimal:
    with transaction.atomic():
        return credits_apply(
            tenant_id=tenant_id, currency="USD", up_to=D(up_to), invoice_id=invoice_id or uuid4(), at=at
        )


def of(name: str, **terms: Any) -> CreditGrant:
    usual = {"priority": 50, "source": "purchase", "effective_at": AT, "created_at": AT}
    return CreditGrant(name=name, amount=10, **{**usual, **terms})


def test_the_order_is_priority_expiry_promotional_effective_creation() -> None:
    first_to_last = [
        of("priority", priority=10),
        of("soon", expires_at=AT + DAY),
        of("later, a gift", expires_at=AT + 2 * DAY, source="promotion"),
        of("later, bought", expires_at=AT + 2 * DAY),
        of("endless gift", source="promotion", effective_at=AT + DAY),
        of("effective earlier", effective_at=AT - DAY, created_at=AT + DAY),
        of("older", created_at=AT - DAY),
        of("newer"),
    ]
    remaining = {each.id: D(10) for each in first_to_last}
    taken = consumption(reversed(first_to_last), remaining, D("75"))
    assert [each.name for each, _ in taken] == [each.name for each in first_to_last]
    assert [amount for _, amount in taken] == [D(10)] * 7 + [D(5)]
    assert consumption(first_to_last, {}, D(5)) == []


def test_only_what_is_effective_alive_and_of_the_currency_is_used(db: None) -> None:
    tenant = uuid4()
    grant(tenant, currency="EUR")
    grant(tenant, effective_at=AT + DAY)
    grant(tenant, expires_at=AT + DAY)
    grant(uuid4())
    used = grant(tenant)
    credit_grant_void(grant=grant(tenant), team_id=UUID(int=5), actor="olivia", now=AT)
    assert apply(tenant, "100", at=AT + DAY - timedelta(seconds=1)) == 20
    assert apply(tenant, "100", at=AT + DAY) == 10, "by then the other one is effective"
    assert grants_remaining(tenant_id=tenant)[used.id] == 0


def test_balances_over_time_are_read_from_the_journal(db: None) -> None:
    tenant = uuid4()
    grant(tenant, "10", now=AT)
    grant(tenant, "5", now=AT + DAY, expires_at=AT + 4 * DAY)
    apply(tenant, "3", at=AT + 2 * DAY)
    seen = [credit_balances(tenant_id=tenant, at=AT + days * DAY) for days in range(-1, 5)]
    assert seen == [{}, {"USD": 10}, {"USD": 15}, {"USD": 12}, {"USD": 12}, {"USD": 10}]


def test_expiry_turns_bought_credit_into_breakage_once(db: None) -> None:
    tenant = uuid4()
    grant(tenant, "10", expires_at=AT + DAY)
    grant(tenant, "7", source="promotion", expires_at=AT + DAY)
    grant(tenant, "1")
    apply(tenant, "9")
    assert [credits_expire(now=AT + days * DAY) for days in (0, 1, 2)] == [0, 1, 0]
    held = {account: amount for (_, account), amount in balances(tenant_id=tenant).items() if amount}
    # The gift was used first, so 2 of the bought 10 are gone with it.
    assert (held["revenue_breakage"], held["credit_liability"]) == (-8, -1)
    assert "promotional_credits" not in held


def test_a_gift_that_expires_is_nothing_earned(db: None) -> None:
    tenant = uuid4()
    grant(tenant, "7", source="promotion", expires_at=AT + DAY)
    assert credits_expire(now=AT + DAY) == 1
    assert set(balances(tenant_id=tenant).values()) == {D(0)}


def test_credit_that_returns_to_an_expired_grant_expires_too(db: None) -> None:
    tenant, invoice = uuid4(), uuid4()
    grant(tenant, "10", expires_at=AT + DAY)
    assert apply(tenant, "4", invoice) == 4
    invoice_post(
        tenant_id=tenant,
        invoice_id=invoice,
        number="F-1",
        period=NOVEMBER,
        currency="USD",
        subtotal=D(4),
        credits=D(4),
        tax=D(0),
        total=D(0),
        at=AT,
    )
    assert credits_expire(now=AT + DAY) == 1
    invoice_void_post(tenant_id=tenant, invoice_id=invoice, at=AT + DAY)
    assert [credits_expire(now=AT + 2 * DAY), credits_expire(now=AT + 2 * DAY)] == [1, 0]
    assert balances(tenant_id=tenant)["USD", "revenue_breakage"] == -10


def test_a_voided_purchase_is_owed_back(db: None) -> None:
    tenant = uuid4()
    bought = grant(tenant, "10")
    apply(tenant, "4")
    credit_grant_void(grant=bought, team_id=UUID(int=5), actor="olivia", now=AT)
    assert balances(tenant_id=tenant)["USD", "refund_payable"] == -6
    assert apply(tenant, "4") == 0
    with pytest.raises(Conflict) as caught:
        credit_grant_void(grant=bought, team_id=UUID(int=5), actor="olivia", now=AT)
    assert caught.value.code == "credit_not_voidable"
    told = list(AuditEvent.objects.order_by("sequence").values_list("action", "actor", "team_id"))
    assert told == [(f"credit.{verb}", "olivia", UUID(int=5)) for verb in ("granted", "voided")]
    assert audit_verify().broken_at is None


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("amount", {"amount": "0"}),
        ("amount", {"amount": "-1"}),
        ("amount", {"amount": "1.001"}),
        ("amount", {"amount": "1.5", "currency": "JPY"}),
        ("currency", {"currency": "XXX"}),
        ("source", {"source": "gift"}),
        ("expires_at", {"expires_at": AT}),
        ("expires_at", {"expires_at": AT + DAY, "effective_at": AT + DAY}),
    ],
)
def test_terms_that_cannot_be_are_refused(db: None, field: str, terms: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        grant(uuid4(), **terms)
    assert [problem["pointer"] for problem in caught.value.errors] == [f"/{field}"]
    assert not CreditGrant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_ten_invoices_at_once_cannot_spend_more_than_there_is() -> None:
    tenant = uuid4()
    grant(tenant, "25")
    grant(tenant, "10", source="promotion")
    applied: list[Decimal] = []
    raised = together(10, lambda _: applied.append(apply(tenant, "7")))
    assert raised == []
    assert sorted(applied) == [0] * 5 + [7] * 5
    assert set(grants_remaining(tenant_id=tenant).values()) == {D(0)}
    assert unbalanced() == []


@pytest.mark.django_db(transaction=True)
def test_one_invoice_applied_by_five_at_once_is_applied_once() -> None:
    tenant, invoice = uuid4(), uuid4()
    grant(tenant, "25")
    applied: list[Decimal] = []
    assert together(5, lambda _: applied.append(apply(tenant, "7", invoice))) == []
    assert (applied, credit_balances(tenant_id=tenant, at=AT)) == ([7] * 5, {"USD": 18})


@pytest.mark.django_db(transaction=True)
def test_a_void_and_an_application_at_once_leave_nothing_below_zero() -> None:
    tenant = uuid4()
    bought = grant(tenant, "10")

    def race(index: int) -> None:
        if index % 2:
            apply(tenant, "6")
        elif index == 0:
            credit_grant_void(grant=bought, team_id=UUID(int=5), actor="olivia", now=AT)

    assert together(4, race) == []
    assert grants_remaining(tenant_id=tenant)[bought.id] == 0
    held = balances(tenant_id=tenant)
    assert held.get(("USD", "refund_payable"), 0) + held.get(("USD", "customer_receivable"), 0) == -10
