"""The journal: balanced by the database, never changed, posted once per key."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from billing.ledger import accounts
from billing.ledger.accounts import ACCOUNTS, COST_ACCOUNTS, REVENUE_ACCOUNTS
from billing.ledger.journal import Entry, entries_of, journal_post, journal_reverse
from billing.ledger.models import JournalEntry, JournalTransaction
from billing.ledger.selectors import balances
from controlplane.core.errors import Conflict
from tests.support.ledger import AT, NOVEMBER, D, together, unbalanced


def post(
    key: str = "k", amount: str = "10", tenant_id: UUID | None = None, **more: Any
) -> JournalTransaction:
    entries = [Entry(accounts.CASH, D(amount)), Entry(accounts.REVENUE, -D(amount))]
    return journal_post(
        **{
            "key": key,
            "kind": "test",
            "at": AT,
            "tenant_id": tenant_id or UUID(int=1),
            "currency": "USD",
            "entries": entries,
            "about": "a test",
            **more,
        }
    )


def test_a_transaction_moves_balances_in_its_service_period(db: None) -> None:
    tenant = uuid4()
    post("a", "10.50", tenant, period=NOVEMBER)
    post("b", "1", tenant)
    post("c", "7", uuid4())
    assert balances(tenant_id=tenant) == {("USD", "cash"): D("11.5"), ("USD", "revenue"): D("-11.5")}
    assert balances(tenant_id=tenant, period=NOVEMBER)["USD", "cash"] == D("10.5")
    assert balances(tenant_id=tenant, at=AT.replace(hour=1)) == {}


def test_the_same_key_posts_once_and_other_entries_are_refused(db: None) -> None:
    first, again = post("a"), post("a")
    assert (first.pk, JournalEntry.objects.count()) == (again.pk, 2)
    for other in ({"amount": "11"}, {"kind": "else"}, {"currency": "EUR"}, {"tenant_id": UUID(int=2)}):
        with pytest.raises(Conflict) as caught:
            post("a", **other)
        assert caught.value.code == "journal_key_conflict"
    assert JournalEntry.objects.count() == 2


def test_entries_that_cannot_be_right_are_refused_before_the_database(db: None) -> None:
    for entries in (
        [Entry(accounts.CASH, D(1))],
        [Entry(accounts.CASH, D(1)), Entry(accounts.REVENUE, D("-1.01"))],
        [Entry("petty", D(1)), Entry(accounts.REVENUE, D(-1))],
        [Entry(accounts.CASH, D("1e-13")), Entry(accounts.REVENUE, D("-1e-13"))],
        [Entry(accounts.CASH, D("NaN")), Entry(accounts.REVENUE, D("NaN"))],
    ):
        with pytest.raises(ValueError, match="k: "):
            post(entries=entries)
    assert not JournalTransaction.objects.exists()


def test_a_reversal_takes_everything_back_once(db: None) -> None:
    tenant = uuid4()
    original = post("a", tenant_id=tenant, period=NOVEMBER)
    first = journal_reverse(original=original, at=AT, about="wrong")
    assert journal_reverse(original=original, at=AT, about="wrong").pk == first.pk
    assert set(balances(tenant_id=tenant, period=NOVEMBER).values()) == {D(0)}
    assert [each.amount for each in entries_of(first)] == [D(-10), D(10)]


def raw(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def entries_insert(posted: JournalTransaction, *amounts: str) -> None:
    """By raw SQL, in one transaction. Nothing is wrong until COMMIT: the rest of the entries might follow."""
    with transaction.atomic():
        for position, amount in enumerate(amounts, start=2):
            raw(
                "INSERT INTO billing_journalentry (transaction_id, position, account, amount) "
                "VALUES (%s, %s, 'cash', %s)",
                posted.pk,
                position,
                amount,
            )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("amount", "says"), [("0.01", "not to zero"), ("-0.000000000001", "not to zero")])
def test_the_database_refuses_what_does_not_sum_to_zero_at_commit(amount: str, says: str) -> None:
    posted = post()
    with pytest.raises(DatabaseError, match=says):
        entries_insert(posted, amount)
    assert unbalanced() == []


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_entries_added_later_even_if_they_sum_to_zero() -> None:
    posted = post()
    with pytest.raises(DatabaseError, match="has 4 entries, not 2"):
        entries_insert(posted, "5", "-5")
    assert JournalEntry.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_a_transaction_without_its_entries() -> None:
    with pytest.raises(DatabaseError, match="has 0 entries, not 2"), transaction.atomic():
        JournalTransaction.objects.create(
            key="empty",
            kind="test",
            at=AT,
            tenant_id=uuid4(),
            currency="USD",
            service_start=NOVEMBER.start,
            service_end=NOVEMBER.end,
            size=2,
            about="",
        )
    assert not JournalTransaction.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_journalentry SET amount = 0",
        "UPDATE billing_journaltransaction SET at = now()",
        "DELETE FROM billing_journalentry",
        "DELETE FROM billing_journaltransaction",
        "TRUNCATE billing_journalentry",
        "TRUNCATE billing_journaltransaction CASCADE",
    ],
)
def test_the_database_refuses_every_change(statement: str) -> None:
    post()
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        raw(statement)
    assert [each.amount for each in JournalEntry.objects.order_by("position")] == [D(10), D(-10)]


@pytest.mark.django_db(transaction=True)
def test_one_key_posted_by_eight_at_once_is_posted_once() -> None:
    assert together(8, lambda _: post("a") and None) == []
    assert (JournalTransaction.objects.count(), JournalEntry.objects.count()) == (1, 2)


def test_every_account_is_described_and_counted_once() -> None:
    assert all(account.about and key == account.key for key, account in ACCOUNTS.items())
    assert {ACCOUNTS[key].type for key in REVENUE_ACCOUNTS} == {"revenue"}
    assert {ACCOUNTS[key].type for key in COST_ACCOUNTS} == {"expense"}
    shown = {*REVENUE_ACCOUNTS, *COST_ACCOUNTS}
    assert {key for key, account in ACCOUNTS.items() if account.type in ("revenue", "expense")} == shown
