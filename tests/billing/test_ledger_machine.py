"""Any sequence of what can happen to the books leaves them balanced, and the margin is the ledger to the last digit.

Against real Postgres with real transactions, so that the deferred trigger judges every commit. A model of plain sums,
kept beside, says what revenue, receivables and credits must come to.
"""

import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.costs.estimates import infrastructure_estimate
from billing.costs.imports import cost_feed_import
from billing.costs.stacks import StackCost
from billing.directory import BilledCustomer
from billing.exact import exact_sum
from billing.ledger import accounts, postings
from billing.ledger.fleet import fleet_margin
from billing.ledger.grants import grants_remaining
from billing.ledger.models import CreditGrant, JournalEntry, JournalTransaction
from billing.ledger.selectors import balances_of
from billing.ledger.services import credit_grant_create, credit_grant_void, credits_expire
from controlplane.core.errors import Conflict
from tests.support.customers import TEAM, ListedCustomers
from tests.support.feeds import cur, tag
from tests.support.ledger import AT, NOVEMBER, D, kept_wrongly, unbalanced

cents = st.integers(min_value=0, max_value=500_000).map(lambda count: Decimal(count) / 100)
some = st.integers(min_value=1, max_value=500_000).map(lambda count: Decimal(count) / 100)
#: As a bill has them: many places, and sometimes money back.
billed = st.decimals(min_value=-50, max_value=5000, places=10, allow_nan=False, allow_infinity=False)
which = st.integers(min_value=0, max_value=10**6)


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = AT
        self.team = uuid4()
        self.invoices: dict[UUID, dict[str, Any]] = {}
        self.earned = {0: D(0), 1: D(0)}
        self.files: list[bytes] = []
        self.cash = D(0)

    @initialize()
    def begin(self) -> None:
        listed = ListedCustomers()
        listed.every.clear()
        self.tenants = [listed.add(slug, team_id=self.team) for slug in ("acme", "globex")]

    def _standing(self, index: int) -> list[UUID]:
        found = self.invoices.items()
        return [key for key, each in found if each["tenant"] == index and each["state"] != "void"]

    def _pick(self, number: int, *wanted: str) -> UUID | None:
        found = [key for key, each in self.invoices.items() if each["state"] in wanted]
        return found[number % len(found)] if found else None

    @rule(index=st.sampled_from([0, 1]), total=cents)
    def accrue(self, index: int, total: Decimal) -> None:
        with transaction.atomic():
            postings.revenue_accrue(
                tenant_id=self.tenants[index].id,
                period=NOVEMBER,
                currency="USD",
                accrued_total=total,
                at=self.now,
            )
        if not self._standing(index):
            self.earned[index] = total

    @rule(index=st.sampled_from([0, 1]), subtotal=cents, rate=st.sampled_from(["0", "0.19"]))
    def invoice(self, index: int, subtotal: Decimal, rate: str) -> None:
        tenant, key = self.tenants[index], uuid4()
        regular = not self._standing(index)
        with transaction.atomic():
            applied = postings.credits_apply(
                tenant_id=tenant.id, currency="USD", up_to=subtotal, invoice_id=key, at=self.now
            )
            assert 0 <= applied <= subtotal
            tax = ((subtotal - applied) * D(rate)).quantize(D("0.01"))
            asked = {
                "tenant_id": tenant.id, "invoice_id": key, "number": str(key), "period": NOVEMBER, "currency": "USD",
                "subtotal": subtotal, "credits": applied, "tax": tax, "total": subtotal - applied + tax, "at": self.now,
            }  # fmt: skip
            postings.invoice_post(**asked)
        self.invoices[key] = {"tenant": index, "state": "open", "due": asked["total"], "asked": asked}
        before = self.earned[index] if regular else D(0)
        self.invoices[key]["accrued"] = before
        self.earned[index] = subtotal if regular else self.earned[index] + subtotal

    @rule(number=which)
    def invoice_again(self, number: int) -> None:
        if (key := self._pick(number, "open", "paid", "given up")) is not None:
            with transaction.atomic():
                postings.invoice_post(**self.invoices[key]["asked"])

    @rule(number=which, part=st.integers(min_value=1, max_value=100))
    def pay(self, number: int, part: int) -> None:
        key = self._pick(number, "open", "given up")
        if key is None or not (due := self.invoices[key]["due"]):
            return
        amount = max((due * part / 100).quantize(D("0.01")), min(due, D("0.01")))
        asked = {
            "tenant_id": self._tenant(key).id,
            "invoice_id": key,
            "amount": amount,
            "reference": uuid4().hex,
        }
        for _ in range(2):
            with transaction.atomic():
                postings.invoice_paid_post(**asked, at=self.now)
        self.invoices[key]["due"] -= amount
        self.invoices[key]["moved"] = True
        self.cash += amount

    @rule(number=which, more=some)
    def pay_too_much(self, number: int, more: Decimal) -> None:
        if (key := self._pick(number, "open", "given up")) is None:
            return
        with pytest.raises(Conflict), transaction.atomic():
            postings.invoice_paid_post(
                tenant_id=self._tenant(key).id, invoice_id=key, amount=self.invoices[key]["due"] + more,
                reference="too much", at=self.now,
            )  # fmt: skip

    @rule(number=which)
    def give_up(self, number: int) -> None:
        if (key := self._pick(number, "open")) is not None:
            for _ in range(2):
                with transaction.atomic():
                    postings.invoice_uncollectible_post(
                        tenant_id=self._tenant(key).id, invoice_id=key, at=self.now
                    )
            self.invoices[key] |= {"state": "given up", "moved": bool(self.invoices[key]["due"])}

    @rule(number=which, part=st.integers(min_value=1, max_value=100))
    def credit_note(self, number: int, part: int) -> None:
        key = self._pick(number, "open", "given up")
        if key is None:
            return
        each = self.invoices[key]
        amount = (each["asked"]["subtotal"] * part / 1000).quantize(D("0.01"))
        tax = (each["asked"]["tax"] * part / 1000).quantize(D("0.01"))
        asked = {
            "tenant_id": self._tenant(key).id, "credit_note_id": uuid4(), "invoice_id": key, "currency": "USD",
            "amount": amount, "tax": tax, "at": self.now,
        }  # fmt: skip
        for _ in range(2):
            with transaction.atomic():
                postings.credit_note_post(**asked)
        self.earned[each["tenant"]] -= amount
        each["due"] = max(each["due"] - amount - tax, D(0))
        each["moved"] = each.get("moved", False) or bool(amount or tax)

    @rule(number=which)
    def void(self, number: int) -> None:
        key = self._pick(number, "open")
        if key is None:
            return
        each = self.invoices[key]
        if each.get("moved"):
            with pytest.raises(Conflict), transaction.atomic():
                postings.invoice_void_post(tenant_id=self._tenant(key).id, invoice_id=key, at=self.now)
            return
        for _ in range(2):
            with transaction.atomic():
                postings.invoice_void_post(tenant_id=self._tenant(key).id, invoice_id=key, at=self.now)
        self.earned[each["tenant"]] += each["accrued"] - each["asked"]["subtotal"]
        each["state"] = "void"

    @rule(
        index=st.sampled_from([0, 1]),
        amount=some,
        source=st.sampled_from(["purchase", "promotion"]),
        days=st.sampled_from([None, 1, 5]),
    )
    def grant(self, index: int, amount: Decimal, source: str, days: int | None) -> None:
        credit_grant_create(
            tenant_id=self.tenants[index].id, team_id=self.team, name="c", source=source, currency="USD",
            amount=amount, expires_at=None if days is None else self.now + timedelta(days=days), actor="test",
            now=self.now,
        )  # fmt: skip
        self.cash += amount if source == "purchase" else D(0)

    @rule(number=which)
    def grant_void(self, number: int) -> None:
        alive = [each for each in self._grants() if each.voided_at is None and _alive(each, self.now)]
        if alive:
            credit_grant_void(grant=alive[number % len(alive)], team_id=self.team, actor="test", now=self.now)

    @rule(days=st.integers(min_value=0, max_value=3))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)
        credits_expire(now=self.now)
        assert credits_expire(now=self.now) == 0
        left = grants_remaining(tenant_id=self.tenants[0].id) | grants_remaining(tenant_id=self.tenants[1].id)
        for each in self._grants():
            if each.voided_at is not None or not _alive(each, self.now):
                assert left.get(each.id, D(0)) == 0

    @rule(index=st.sampled_from([0, 1]), day=st.integers(min_value=1, max_value=5), monthly=some)
    def estimate(self, index: int, day: int, monthly: Decimal) -> None:
        cost = StackCost(NOVEMBER.start - timedelta(days=1), monthly, monthly / 2, "USD", 0)
        for _ in range(2):
            infrastructure_estimate(
                tenant_id=self.tenants[index].id,
                day=NOVEMBER.start.date().replace(day=day),
                costs=[cost],
                at=self.now,
            )

    @rule(
        lines=st.lists(
            st.tuples(
                st.sampled_from(["acme", "globex", "", "nobody"]), st.integers(1, 5), billed, st.booleans()
            ),
            min_size=1,
            max_size=6,
        ),
        mode=st.sampled_from(["replace", "add"]),
    )
    def bill(self, lines: list[tuple[str, int, Decimal, bool]], mode: str) -> None:
        rows = [
            {
                "resource_tags": tag(slug),
                "line_item_usage_start_date": f"2026-11-{day:02}T00:00:00Z",
                "line_item_unblended_cost": format(amount, "f"),
                "bill_invoice_id": "i" if final else "",
            }
            for slug, day, amount, final in lines
        ]
        self.files.append(cur(*rows).encode())
        self._import(self.files[-1], mode)

    @precondition(lambda self: self.files)
    @rule(number=which)
    def bill_again(self, number: int) -> None:
        posted = JournalTransaction.objects.count()
        assert not self._import(self.files[number % len(self.files)], "replace")
        assert JournalTransaction.objects.count() == posted

    def _import(self, content: bytes, mode: str) -> bool:
        return cost_feed_import(
            pool_id=self.team, stream=io.BytesIO(content), mode=mode, actor="test", now=self.now
        ).fresh

    def _tenant(self, invoice: UUID) -> BilledCustomer:
        return self.tenants[self.invoices[invoice]["tenant"]]

    def _grants(self) -> list[CreditGrant]:
        return list(
            CreditGrant.objects.filter(tenant_id__in=[each.id for each in self.tenants]).order_by("pk")
        )

    @invariant()
    def every_journal_sums_to_zero(self) -> None:
        assert unbalanced() == []

    @invariant()
    def the_books_say_what_happened(self) -> None:
        if not hasattr(self, "tenants"):
            return
        held = balances_of(tenant_ids=[each.id for each in self.tenants])
        for index, tenant in enumerate(self.tenants):
            assert -held.get((tenant.id, "USD", accounts.REVENUE), D(0)) == self.earned[index]
        owed = exact_sum(each["due"] for each in self.invoices.values() if each["state"] == "open")
        assert _sum(held, accounts.CUSTOMER_RECEIVABLE) == owed
        assert _sum(held, accounts.CASH) == self.cash
        assert all(
            left >= 0 for each in self.tenants for left in grants_remaining(tenant_id=each.id).values()
        )

    @invariant()
    def the_margin_is_the_ledger(self) -> None:
        if not hasattr(self, "tenants"):
            return
        books = [*(each.id for each in self.tenants), self.team]
        _, totals = fleet_margin(pool_id=self.team, tenants=self.tenants, period=NOVEMBER, billed={})
        entries = JournalEntry.objects.filter(
            transaction__tenant_id__in=books,
            transaction__service_start__gte=NOVEMBER.start,
            transaction__service_start__lt=NOVEMBER.end,
            account__in=[*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS],
        )
        by_hand = -exact_sum(entries.values_list("amount", flat=True))
        assert exact_sum(line.margin for line in totals) == by_hand
        held = balances_of(tenant_ids=books)
        assert _sum(held, accounts.OVERHEAD_ALLOCATED) == 0
        assert kept_wrongly() == []


def _sum(held: dict[tuple[UUID, str, str], Decimal], wanted: str) -> Decimal:
    return exact_sum(amount for (_, _, account), amount in held.items() if account == wanted)


def _alive(grant: CreditGrant, now: datetime) -> bool:
    return grant.expires_at is None or grant.expires_at > now


@pytest.mark.django_db(transaction=True)
def test_any_sequence_of_events_leaves_the_books_balanced(customers: ListedCustomers) -> None:
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert TEAM is not None
