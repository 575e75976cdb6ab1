"""A bill into the ledger: all or nothing, once, as differences; estimates give way; overhead is dealt out."""

import gzip
import io
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from billing.costs.estimates import infrastructure_estimate
from billing.costs.imports import ImportOutcome, cost_feed_import
from billing.costs.models import CostImport, CostLine
from billing.costs.stacks import StackCost
from billing.directory import BilledCustomer
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import balances
from controlplane.core.errors import ValidationFailed
from controlplane.core.models import AuditEvent
from tests.support.customers import TEAM, ListedCustomers
from tests.support.feeds import cur, focus, tag
from tests.support.ledger import AT, NOVEMBER, D, together, unbalanced

THIRD = date(2026, 11, 3)


@pytest.fixture
def acme(db: None, customers: ListedCustomers) -> BilledCustomer:
    return customers.add("acme")


def load(text: str | bytes, **more: Any) -> ImportOutcome:
    raw = text.encode() if isinstance(text, str) else text
    return cost_feed_import(
        **{"pool_id": TEAM, "stream": io.BytesIO(raw), "actor": "fred", "now": AT, **more}
    )


def held(book: UUID, account: str) -> Decimal:
    return balances(tenant_id=book).get(("USD", account), D(0))


def test_lines_go_to_their_tenant_and_the_rest_to_overhead(
    acme: BilledCustomer, customers: ListedCustomers
) -> None:
    globex = customers.add("globex")
    customers.add("initech", team_id=UUID(int=6))
    outcome = load(
        cur(
            {"line_item_unblended_cost": "30"},
            {"line_item_unblended_cost": "10", "resource_tags": tag("globex")},
            {"line_item_unblended_cost": "4", "resource_tags": tag("")},
            {"line_item_unblended_cost": "2", "resource_tags": tag("initech")},
        )
    )
    assert outcome.fresh
    assert outcome.cost_import.summary == {
        "final": 0,
        "changed": 4,
        "untagged": 1,
        "unknown_tags": {"initech": 1},
        "posted": {"USD": "46"},
    }
    assert (held(acme.id, "cost_infrastructure"), held(globex.id, "cost_infrastructure")) == (30, 10)
    # Overhead of 6, by direct cost 3 : 1; nothing of it is left in the fleet's own book.
    assert (held(acme.id, "cost_overhead"), held(globex.id, "cost_overhead")) == (D("4.5"), D("1.5"))
    assert held(TEAM, "cost_overhead") == 0
    assert sum(held(book, "overhead_allocated") for book in (TEAM, acme.id, globex.id)) == 0
    assert unbalanced() == []


def test_the_same_file_again_changes_nothing(acme: BilledCustomer) -> None:
    text = cur({}, {})
    first = load(text)
    posted = JournalTransaction.objects.count()
    again = load(text)
    assert (again.fresh, again.cost_import.pk) == (False, first.cost_import.pk)
    load(gzip.compress(text.encode(), mtime=1))
    assert (JournalTransaction.objects.count(), CostLine.objects.count()) == (posted, 2)


def test_a_later_delivery_posts_differences_and_drops_what_is_gone(acme: BilledCustomer) -> None:
    load(cur({"line_item_unblended_cost": "30"}, {"line_item_unblended_cost": "5"}))
    later = load(cur({"line_item_unblended_cost": "31.5", "bill_invoice_id": "i"}))
    assert later.cost_import.summary["posted"] == {"USD": "-3.5"}
    assert (held(acme.id, "cost_infrastructure"), CostLine.objects.get().final) == (D("31.5"), True)


def test_a_part_of_a_delivery_adds_to_it(acme: BilledCustomer) -> None:
    load(cur({"line_item_unblended_cost": "30"}))
    load(cur({"identity_line_item_id": "x", "line_item_unblended_cost": "5"}), mode="add")
    load(cur({"identity_line_item_id": "x", "line_item_unblended_cost": "6"}), mode="add")
    assert held(acme.id, "cost_infrastructure") == 36


def test_a_new_delivery_with_other_ids_counts_once(acme: BilledCustomer) -> None:
    # AWS does not promise that a line keeps its id.
    load(cur({"identity_line_item_id": "a"}, {"identity_line_item_id": "b"}))
    load(cur({"identity_line_item_id": "c"}, {"identity_line_item_id": "d"}))
    assert held(acme.id, "cost_infrastructure") == 21


def test_other_months_and_other_feeds_stay(acme: BilledCustomer) -> None:
    load(cur({}))
    december = {
        "bill_billing_period_start_date": "2026-12-01T00:00:00Z",
        "line_item_usage_start_date": "2026-12-01T00:00:00Z",
    }
    load(cur(december))
    load(focus({}), feed="other cloud")
    assert held(acme.id, "cost_infrastructure") == D("31.5")


def test_a_malformed_line_refuses_the_whole_file(acme: BilledCustomer) -> None:
    with pytest.raises(ValidationFailed) as caught:
        load(cur({}, {"line_item_unblended_cost": "?"}, {}, {"resource_tags": "{"}))
    assert caught.value.code == "cost_feed_malformed"
    assert [problem["pointer"] for problem in caught.value.errors] == ["/lines/3", "/lines/5"]
    assert not CostLine.objects.exists()
    assert not CostImport.objects.exists()
    assert not JournalTransaction.objects.exists()


def test_a_dry_run_tells_and_keeps_nothing(acme: BilledCustomer) -> None:
    told = load(cur({}), dry_run=True).cost_import.summary["posted"]
    assert (told, JournalTransaction.objects.exists(), CostImport.objects.exists()) == (
        {"USD": "10.5"},
        False,
        False,
    )
    assert load(cur({})).fresh
    assert AuditEvent.objects.filter(action="costs.imported").count() == 1


def estimate(tenant: BilledCustomer, day: date = THIRD) -> None:
    """USD 730 a month: 24 for each day."""
    cost = StackCost(tenant.created_at, D(730), D(365), "USD", 0)
    infrastructure_estimate(tenant_id=tenant.id, day=day, costs=[cost], at=AT)


def both(tenant: BilledCustomer) -> tuple[Decimal, Decimal]:
    return held(tenant.id, "cost_infrastructure_estimated"), held(tenant.id, "cost_infrastructure")


def test_an_estimate_shrinks_by_what_is_billed_until_its_day_is_closed(acme: BilledCustomer) -> None:
    estimate(acme)
    assert both(acme) == (24, 0)
    load(cur({"line_item_unblended_cost": "10"}))
    assert both(acme) == (14, 10)
    load(cur({"line_item_unblended_cost": "10"}, {"line_item_usage_start_date": "2026-11-04T00:00:00Z"}))
    assert both(acme) == (0, D("20.5")), "the feed has a later day"
    load(cur({"line_item_unblended_cost": "10.0"}))
    assert both(acme) == (14, 10), "and when it has not any more, the estimate stands again"


def test_final_lines_close_a_day_at_once(acme: BilledCustomer) -> None:
    estimate(acme)
    load(cur({"line_item_unblended_cost": "10", "bill_invoice_id": "i"}))
    assert both(acme) == (0, 10)


def test_a_bill_that_came_before_the_estimate_counts(acme: BilledCustomer) -> None:
    load(cur({"line_item_unblended_cost": "10", "bill_invoice_id": "i"}))
    estimate(acme)
    assert both(acme) == (0, 10)


def test_a_tenant_that_the_bill_does_not_name_keeps_its_estimate(
    acme: BilledCustomer, customers: ListedCustomers
) -> None:
    local = customers.add("local")
    estimate(local)
    load(cur({"bill_invoice_id": "i"}))
    assert both(local) == (24, 0)


def test_a_slug_given_anew_is_billed_to_whom_it_belonged(
    acme: BilledCustomer, customers: ListedCustomers
) -> None:
    second = customers.add("acme", created_at=AT - timedelta(days=10))
    load(cur({}, {"line_item_usage_start_date": "2026-11-25T00:00:00Z"}))
    assert (held(acme.id, "cost_infrastructure"), held(second.id, "cost_infrastructure")) == (
        D("10.5"),
        D("10.5"),
    )


def test_days_are_kept_as_service_periods(acme: BilledCustomer) -> None:
    load(cur({}, {"line_item_usage_start_date": "2026-12-01T00:00:00Z"}))
    assert balances(tenant_id=acme.id, period=NOVEMBER)["USD", "cost_infrastructure"] == D("10.5")


@pytest.mark.django_db(transaction=True)
def test_one_file_sent_by_four_at_once_is_taken_once(customers: ListedCustomers) -> None:
    acme = customers.add("acme")
    fresh: list[bool] = []
    assert together(4, lambda _: fresh.append(load(cur({}, {})).fresh)) == []
    assert sorted(fresh) == [False, False, False, True]
    assert held(acme.id, "cost_infrastructure") == 21
