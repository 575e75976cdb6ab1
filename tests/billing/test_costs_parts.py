"""Days of a priced stack, vendors' prices and shares of overhead: the pure parts, and what the clock posts."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from billing.costs.estimates import day_costs
from billing.costs.overhead import overhead_shares
from billing.costs.selectors import costs
from billing.costs.services import costs_post
from billing.costs.stacks import StackCost
from billing.costs.vendors import Unpriced, prices_read, tokens_priced, vendor_prices
from billing.directory import BilledCustomer
from billing.exact import exact_sum
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import balances
from billing.metering.services import usage_ingest
from billing.metering.totals import MeterTotal
from tests.support.customers import ListedCustomers, ListedStackCosts
from tests.support.ledger import AT, NOVEMBER, D, unbalanced

DAY = date(2026, 11, 3)
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def cost(since: datetime, monthly: str, gpu: str = "0", unknown: int = 0) -> StackCost:
    return StackCost(since, D(monthly), D(gpu), "USD", unknown)


def test_a_day_is_a_part_of_730_hours() -> None:
    (day,) = day_costs(DAY, [cost(NOON - timedelta(days=9), "730", "365", 2)]).values()
    assert (day.amount, day.gpu, day.unknown) == (24, 12, 2)


def test_each_price_counts_for_the_time_that_it_stood() -> None:
    early = cost(NOON - timedelta(days=9), "730")
    assert day_costs(DAY, [early, cost(NOON, "1460")])["USD"].amount == 36
    assert day_costs(DAY, [cost(NOON, "730")])["USD"].amount == 12, "provisioned at noon"
    assert day_costs(DAY, [early, cost(NOON, "0")])["USD"].amount == 12, "gone at noon"
    assert day_costs(DAY, [cost(NOON + timedelta(days=1), "730")]) == {}
    assert day_costs(DAY, [early, cost(NOON - timedelta(days=1), "0")]) == {}


def test_a_stack_of_unknown_price_is_told_not_dropped() -> None:
    (day,) = day_costs(DAY, [cost(NOON - timedelta(days=9), "0", "0", 3)]).values()
    assert (day.amount, day.unknown) == (0, 3)


PRICES = prices_read(
    [
        {
            "provider": "p",
            "models": ["m"],
            "effective_from": date(2026, 1, 1),
            "effective_to": date(2026, 11, 3),
            "input": "1",
            "source": "s",
            "read_on": DAY,
        },
        {
            "provider": "p",
            "models": ["m", "m-2026"],
            "effective_from": date(2026, 11, 3),
            "input": "2",
            "output": "10",
            "cache_read": "0.2",
            "cache_write": "2.5",
            "reasoning": "10",
            "source": "s",
            "read_on": DAY,
        },
    ]
)


def tokens(meter: str, count: str, model: str = "m", agent: str = "a") -> MeterTotal:
    return MeterTotal(meter, (("agent", agent), ("model", model)), D(count))


def test_tokens_cost_by_part_and_by_the_price_of_the_day() -> None:
    used = [
        tokens("input_tokens", "1000000"),
        tokens("input_tokens", "500000", agent="b"),
        tokens("cached_input_tokens", "1000000"),
        tokens("cache_write_tokens", "1000000"),
        tokens("output_tokens", "1", "m-2026"),
        tokens("reasoning_tokens", "1000000"),
        MeterTotal("tool_calls", (("tool", "t"),), D(9)),
    ]
    assert tokens_priced(used, DAY, PRICES) == ({"USD": D("15.70001")}, [])
    assert tokens_priced(used[:1], DAY - timedelta(days=1), PRICES) == ({"USD": D(1)}, [])


def test_what_has_no_price_is_named_and_never_nothing() -> None:
    used = [tokens("input_tokens", "5", "other"), tokens("output_tokens", "7")]
    assert tokens_priced(used, DAY - timedelta(days=1), PRICES) == (
        {},
        [Unpriced("m", "output_tokens", D(7)), Unpriced("other", "input_tokens", D(5))],
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": 2.5},
        {"input": "-1"},
        {"source": ""},
        {"models": []},
        {"effective_to": date(2025, 1, 1)},
        {"price_of_input": "1"},
    ],
)
def test_a_price_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    row = {"provider": "p", "models": ["m"], "effective_from": DAY, "source": "s", "read_on": DAY}
    with pytest.raises(ValidationError):
        prices_read([{**row, **wrong}])


def test_one_model_has_one_price_a_day() -> None:
    row = {"provider": "p", "models": ["m"], "effective_from": DAY, "source": "s", "read_on": DAY}
    with pytest.raises(ValueError, match="two prices"):
        prices_read([row, {**row, "effective_from": DAY + timedelta(days=9)}])


def test_the_shipped_table_is_whole_and_says_where_from() -> None:
    assert {price.provider for price in vendor_prices()} >= {"anthropic", "openai", "freehold"}
    assert all(price.input is not None and price.output is not None for price in vendor_prices())


shares = st.dictionaries(
    st.uuids(),
    st.decimals(min_value=-10, max_value=10**9, places=12, allow_nan=False),
    min_size=1,
    max_size=9,
)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=12, allow_nan=False), shares)
def test_shares_sum_to_the_overhead_and_follow_direct_cost(total: Any, direct: Any) -> None:
    dealt = overhead_shares(total, direct)
    if not total or not any(cost > 0 for cost in direct.values()):
        assert dealt == {}
        return
    assert exact_sum(dealt.values()) == total
    assert set(dealt) == {tenant for tenant, cost in direct.items() if cost > 0}
    whole = exact_sum(direct[tenant] for tenant in dealt)
    assert all(abs(dealt[each] - total * direct[each] / whole) < D("1e-9") for each in dealt)


Event = Callable[..., dict[str, Any]]


def test_the_clock_posts_each_day_once_and_late_events_later(
    db: None, customers: ListedCustomers, event: Event
) -> None:
    acme = customers.add("acme", created_at=NOON)
    ListedStackCosts.held[acme.id] = [cost(NOON, "730", "365")]
    now = NOON + timedelta(days=2)
    send(acme, event("1", time=NOON, model="gpt-4.1", input_tokens=1_000_000), now)
    costs_post(now=now)
    # Half of the third, and the fourth; the fifth is not over.
    assert held(acme) == {"cost_infrastructure_estimated": 36, "cost_models": 2, "cost_clearing": -38}
    posted = JournalTransaction.objects.count()
    costs_post(now=now + timedelta(hours=1))
    assert JournalTransaction.objects.count() == posted
    send(acme, event("2", time=NOON, model="gpt-4.1", output_tokens=500_000), now + timedelta(hours=2))
    costs_post(now=now + timedelta(hours=3))
    assert held(acme)["cost_models"] == 6
    assert unbalanced() == []


def test_costs_are_told_by_kind_and_day_with_what_nobody_knows(
    db: None, customers: ListedCustomers, event: Event
) -> None:
    acme = customers.add("acme", created_at=NOON)
    ListedStackCosts.held[acme.id] = [cost(NOON, "730", unknown=2)]
    send(acme, event("1", time=NOON, model="mystery-1", input_tokens=70), AT)
    costs_post(now=NOON + timedelta(days=2))
    told = costs(tenant_id=acme.id, period=NOVEMBER, as_of=AT)
    assert [(total["currency"], total["total"]) for total in told["totals"]] == [("USD", "36")]
    assert [(day["date"], day["by_kind"]["infrastructure_estimated"]) for day in told["days"]] == [
        ("2026-11-03", "12"),
        ("2026-11-04", "24"),
    ]
    assert told["unpriced"] == [{"model": "mystery-1", "meter": "input_tokens", "tokens": "70"}]
    assert told["unknown_resources"] == 2


def send(customer: BilledCustomer, event: dict[str, Any], at: datetime) -> None:
    answer = usage_ingest(tenant_id=customer.id, subject="acme", events=[event], received_at=at)
    assert answer.accepted == 1, answer


def held(customer: BilledCustomer) -> dict[str, Any]:
    found = balances(tenant_id=customer.id)
    return {account: amount for (_, account), amount in found.items() if amount}


def test_an_unknown_tenant_costs_nothing(db: None) -> None:
    assert costs(tenant_id=uuid4(), period=NOVEMBER, as_of=AT)["totals"] == []
    assert UUID(int=0) not in overhead_shares(D(1), {UUID(int=0): D(0)})
