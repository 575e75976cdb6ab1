"""Budgets: the bill's own figures, thresholds that fire once, caps that are lifted, and what happens in the dark."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from billing.budgets.evaluate import budget_evaluate, budgets_evaluate_due
from billing.budgets.figures import Spends
from billing.budgets.models import Budget, BudgetAlert
from billing.budgets.selectors import budget_representation
from billing.budgets.services import budget_create, budget_delete, budget_update
from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer
from billing.metering.services import usage_ingest
from billing.metering.spans import spans_reconcile
from billing.period import period_parse
from billing.standing.selectors import standing_of
from contracts.stack import BillableResource
from contracts.usage import MODEL_USAGE
from controlplane.core.errors import OperatorError, ValidationFailed
from controlplane.core.models import AuditEvent, OutboundMessage

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CARD = {
    "key": "pro",
    "version": 1,
    "base_fee": "10",
    "prices": [{"meter": "output_tokens", "unit_price": "1"}, {"meter": "gpu_hours", "unit_price": "1"}],
}


@dataclass
class House:
    """A directory of two customers of one team and one of another."""

    team: UUID = field(default_factory=uuid4)
    broken: bool = False
    currency: str = "USD"

    def __post_init__(self) -> None:
        self.acme = self._customer("acme", self.team)
        self.globex = self._customer("globex", self.team)
        self.other = self._customer("other", uuid4())

    def _customer(self, slug: str, team: UUID) -> BilledCustomer:
        created = datetime(2026, 1, 1, tzinfo=UTC)
        card = {**CARD, "currency": self.currency}
        return BilledCustomer(uuid4(), team, slug, slug.title(), created, None, "", card)

    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        everybody = (self.acme, self.globex, self.other)
        yield from (each for each in everybody if team_id in (None, each.team_id))

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None:
        if self.broken:
            raise OperatorError("The price list is torn.")
        return next((each for each in self.customers() if each.id == tenant_id), None)

    def spend(self, customer: BilledCustomer, tokens: int, at: datetime = NOW) -> None:
        event = {
            "specversion": "1.0", "id": str(uuid4()), "source": f"/tenants/{customer.slug}/runtime/0",
            "type": MODEL_USAGE, "subject": customer.slug, "time": at.isoformat(),
            "data": {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": "m", "output_tokens": tokens},
        }  # fmt: skip
        answer = usage_ingest(tenant_id=customer.id, subject=customer.slug, events=[event], received_at=at)
        assert answer.accepted == 1

    def budget(self, amount: int = 100, tenant: BilledCustomer | None = None, **fields: Any) -> Budget:
        wanted = {
            "name": "Platform", "currency": "USD", "actor": "test", "now": NOW, "secret_bytes": bytes(32),
            "emails": ["olivia@example.com"], **fields,
        }  # fmt: skip
        budget, _ = budget_create(
            team_id=self.team, tenant_id=tenant.id if tenant else None, amount=Decimal(amount), **wanted
        )
        return budget


@pytest.fixture
def house(db: None, monkeypatch: pytest.MonkeyPatch) -> House:
    found = House()
    for module in ("figures", "evaluate"):
        monkeypatch.setattr(f"billing.budgets.{module}.directory", lambda: found)
    return found


def _evaluate(budget: Budget, at: datetime = NOW) -> Budget:
    found = budget_evaluate(budget_id=budget.pk, spends=Spends(at))
    assert found is not None
    return found


def _change(budget: Budget, at: datetime = NOW, **changes: Any) -> Budget:
    found, _ = budget_update(budget=budget, changes=changes, actor="test", now=at, secret_bytes=bytes(32))
    return found


BLOCK = [{"percent": "100", "actions": ["alert", "block_runs"]}]


def test_a_budget_counts_what_the_bill_counts(house: House) -> None:
    house.spend(house.acme, 40)
    gpu = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={})
    spans_reconcile(
        tenant_id=house.acme.id, resources=[gpu], at=NOW - timedelta(hours=5), operation_id=uuid4()
    )
    budget = _evaluate(house.budget(tenant=house.acme))
    bill = charges_of(
        customer=house.acme, period=period_parse("2026-11"), as_of=NOW, fallback=house.acme.fallback
    )
    status = budget_representation(budget, tenant="acme", now=NOW)["status"]
    assert Decimal(status["spent"]) == bill.total == 55
    assert status["committed"] == "10.00"
    assert status["run_rate"] == "1", "the GPU costs one an hour"
    # 230 hours are left; 40 tokens came in 490 hours.
    assert status["forecast"] == f"{10 + 5 + 230 + 40 + round(40 * 230 / 490, 2):.2f}"
    assert status["spent_percent"] == "55"
    assert (status["state"], status["problem"]) == ("reached", "")
    assert status["next_evaluation_at"] == "2026-11-21T10:01:00Z"


def test_each_threshold_fires_once_in_a_period_and_keeps_what_was_known(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=[{"percent": "50"}, {"percent": "80"}])
    house.spend(house.acme, 45)
    _evaluate(budget)
    house.spend(house.acme, 1)
    _evaluate(budget, NOW + MINUTE)
    (alert,) = BudgetAlert.objects.all()
    assert (alert.percent, alert.value, alert.amount) == (50, 55, 100)
    assert (alert.figures["spent"], alert.figures["period"]) == ("55.00", "2026-11")
    (message,) = OutboundMessage.objects.all()
    assert message.subject == "acme: 50 % of the budget Platform spent"
    assert "55.00 USD" in message.text
    house.spend(house.acme, 40)
    for turn in range(3):
        _evaluate(budget, NOW + (2 + turn) * MINUTE)
    assert [alert.percent for alert in BudgetAlert.objects.order_by("fired_at")] == [50, 80]
    assert AuditEvent.objects.filter(action="billing.budget.reached").count() == 2


def test_it_fires_again_only_after_it_was_raised_above(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=[{"percent": "100"}])
    house.spend(house.acme, 95)
    _evaluate(budget)
    _evaluate(_change(budget, amount=Decimal("104")), NOW + MINUTE)
    assert BudgetAlert.objects.filter(rearmed_at=None).count() == 1, "raised, but still below what is spent"
    _evaluate(_change(budget, amount=Decimal("150")), NOW + 2 * MINUTE)
    assert BudgetAlert.objects.filter(rearmed_at=None).count() == 0
    house.spend(house.acme, 50)
    _evaluate(budget, NOW + 3 * MINUTE)
    assert BudgetAlert.objects.count() == 2
    lowered = _change(budget, amount=Decimal("120"))
    _evaluate(lowered, NOW + 4 * MINUTE)
    assert BudgetAlert.objects.count() == 2, "lowering it says nothing new"


def test_a_forecast_that_wavers_fires_once(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=[{"percent": "100", "on": "forecast"}])
    house.spend(house.acme, 70, datetime(2026, 11, 2, tzinfo=UTC))
    early, late = datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC)
    assert (
        budget_representation(_evaluate(budget, early), tenant="acme", now=early)["status"]["state"]
        == "reached"
    )
    assert Decimal(_evaluate(budget, late).figures["forecast"]) < 100  # type: ignore[index]
    house.spend(house.acme, 25, late)
    assert Decimal(_evaluate(budget, late + MINUTE).figures["forecast"]) >= 100  # type: ignore[index]
    assert BudgetAlert.objects.count() == 1


def test_a_cap_holds_the_tenant_and_is_lifted_by_raising_the_budget(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=BLOCK)
    house.spend(house.acme, 90)
    _evaluate(budget)
    found = standing_of(tenant_id=house.acme.id)
    assert (found["standing"], found["actions"]) == ("capped", ["block_runs"])
    assert found["reason"] == "100 % of the budget Platform (100.00 USD for 2026-11) is spent."
    assert standing_of(tenant_id=house.globex.id)["standing"] == "current"
    _evaluate(_change(budget, NOW + MINUTE, amount=Decimal("200")), NOW + MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current"


def test_a_cap_ends_with_the_month(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=BLOCK)
    house.spend(house.acme, 90)
    _evaluate(budget)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    shown = budget_representation(_evaluate(budget, december), tenant="acme", now=december)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current"
    assert (shown["status"]["state"], shown["status"]["spent"]) == ("ok", "10.00")
    house.spend(house.acme, 90, december)
    _evaluate(budget, december + MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "capped", "each month anew"
    assert BudgetAlert.objects.count() == 2


def test_a_threshold_taken_away_lets_go(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=BLOCK)
    house.spend(house.acme, 90)
    _evaluate(budget)
    _change(budget, NOW + MINUTE, thresholds=[{"percent": "100"}])
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current", "without waiting for an evaluation"


def test_deleting_a_budget_lets_go_and_keeps_the_trail(house: House) -> None:
    budget = house.budget(tenant=house.acme, thresholds=BLOCK)
    house.spend(house.acme, 90)
    budget_delete(budget=_evaluate(budget), actor="test", now=NOW + MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"billing.budget.created", "billing.budget.reached", "billing.budget.deleted"} <= actions
    assert _none(budget)


def _none(budget: Budget) -> bool:
    return budget_evaluate(budget_id=budget.pk, spends=Spends(NOW)) is None


def test_a_fleet_budget_adds_up_its_teams_tenants_and_holds_each(house: House) -> None:
    budget = house.budget(thresholds=[{"percent": "100", "actions": ["block_runs", "scale_gpu_to_zero"]}])
    house.spend(house.acme, 50)
    house.spend(house.globex, 20)
    house.spend(house.other, 10_000)
    found = _evaluate(budget)
    assert found.figures is not None
    assert (found.figures["spent"], [row["tenant"] for row in found.figures["tenants"]]) == (
        "90.00", ["acme", "globex"],
    )  # fmt: skip
    house.spend(house.globex, 15)
    _evaluate(budget, NOW + MINUTE)
    for customer in (house.acme, house.globex):
        held = standing_of(tenant_id=customer.id)
        assert held["actions"] == ["block_runs", "scale_gpu_to_zero"]
        assert "of all tenants together" in held["reason"]
    assert standing_of(tenant_id=house.other.id)["standing"] == "current"


def test_two_budgets_hold_by_themselves(house: House) -> None:
    own, fleet = house.budget(tenant=house.acme, thresholds=BLOCK), house.budget(thresholds=BLOCK)
    house.spend(house.acme, 200)
    _evaluate(own)
    _evaluate(fleet)
    _evaluate(_change(own, NOW + MINUTE, amount=Decimal("900")), NOW + MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "capped"
    _evaluate(_change(fleet, NOW + MINUTE, amount=Decimal("900")), NOW + MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current"


def test_resuming_afterwards_is_asked_for_only_beside_a_suspension(house: House) -> None:
    zero = [{"percent": "100", "actions": ["scale_gpu_to_zero"]}]
    house.spend(house.acme, 200)
    _evaluate(house.budget(tenant=house.acme, thresholds=zero, resume_afterwards=True))
    assert standing_of(tenant_id=house.acme.id)["actions"] == ["scale_gpu_to_zero", "resume_afterwards"]
    house.spend(house.globex, 200)
    _evaluate(house.budget(tenant=house.globex, thresholds=BLOCK, resume_afterwards=True))
    assert standing_of(tenant_id=house.globex.id)["actions"] == ["block_runs"]


@pytest.mark.parametrize("on_unknown", ["open", "closed"])
def test_what_happens_while_it_cannot_be_evaluated(house: House, on_unknown: str) -> None:
    budget = house.budget(tenant=house.acme, on_unknown=on_unknown)
    _evaluate(budget)
    house.broken = True
    shown = budget_representation(_evaluate_in_the_dark(house, budget), tenant="acme", now=NOW)["status"]
    assert (shown["state"], shown["problem"]) == ("unknown", "The price list is torn.")
    assert shown["spent"] == "10.00", "the newest figures that are known are still shown"
    held = standing_of(tenant_id=house.acme.id)
    if on_unknown == "open":
        assert held["standing"] == "current"
        assert shown["while_unknown"].startswith("nothing changes")
    else:
        assert (held["standing"], held["actions"]) == ("capped", ["block_runs"])
        assert "cannot be evaluated" in held["reason"]
        assert shown["while_unknown"] == "new runs are blocked"
    house.broken = False
    _evaluate(budget, NOW + 2 * MINUTE)
    assert standing_of(tenant_id=house.acme.id)["standing"] == "current"


def _evaluate_in_the_dark(house: House, budget: Budget) -> Budget:
    return _evaluate(budget, NOW + MINUTE)


def test_another_currency_cannot_be_compared(house: House) -> None:
    budget = house.budget(tenant=house.acme, currency="EUR", on_unknown="open")
    assert _evaluate(budget).problem == "acme is billed in USD, the budget is in EUR."


def test_an_old_evaluation_is_called_unknown(house: House) -> None:
    budget = _evaluate(house.budget(tenant=house.acme))
    later = NOW + timedelta(minutes=6)
    status = budget_representation(budget, tenant="acme", now=later)["status"]
    assert status["state"] == "unknown"
    assert "see that the scheduler runs" in status["problem"]


def test_the_clock_evaluates_each_budget_once_a_minute_within_bounds(house: House) -> None:
    for _ in range(3):
        house.budget(tenant=house.acme)
    assert budgets_evaluate_due(now=NOW) == 3
    assert budgets_evaluate_due(now=NOW + timedelta(seconds=30)) == 0
    assert budgets_evaluate_due(now=NOW + MINUTE, limit=2) == 2
    assert budgets_evaluate_due(now=NOW + MINUTE) == 1
    assert budgets_evaluate_due(now=NOW + 2 * MINUTE, until=lambda: True) == 0


def test_one_budget_that_fails_by_surprise_stops_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = house.budget(tenant=house.globex), house.budget(tenant=house.acme)
    real = charges_of

    def torn(**kwargs: Any) -> Any:
        if kwargs["customer"].slug == "globex":
            raise ZeroDivisionError
        return real(**kwargs)

    monkeypatch.setattr("billing.budgets.figures.charges_of", torn)
    assert budgets_evaluate_due(now=NOW) == 2
    bad.refresh_from_db()
    good.refresh_from_db()
    assert bad.problem == "Its figures could not be computed (ZeroDivisionError)."
    assert (good.problem, good.evaluated_at) == ("", NOW)


@pytest.mark.django_db(transaction=True)
def test_evaluations_at_the_same_time_fire_once(house: House) -> None:
    house.spend(house.acme, 90)
    budget = house.budget(tenant=house.acme, thresholds=BLOCK)
    start = threading.Barrier(6)
    errors: list[BaseException] = []

    def evaluate(turn: int) -> None:
        try:
            start.wait(10)
            _evaluate(budget, NOW + timedelta(microseconds=turn))
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=evaluate, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert BudgetAlert.objects.count() == OutboundMessage.objects.count() == 1
    assert len(standing_of(tenant_id=house.acme.id)["history"]) == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"amount": Decimal(0)}, "/amount"),
        ({"amount": Decimal("0.001")}, "/amount"),
        ({"amount": Decimal("NaN")}, "/amount"),
        ({"currency": "XXX"}, "/currency"),
        ({"on_unknown": "maybe"}, "/on_unknown"),
        ({"emails": ["a@example.com", "nobody"]}, "/emails/1"),
        ({"webhook_url": "http://127.0.0.1/"}, "/webhook_url"),
    ],
)
def test_wrong_fields_are_named(house: House, fields: dict[str, Any], pointer: str) -> None:
    wanted: dict[str, Any] = {
        "team_id": house.team, "tenant_id": None, "name": "n", "amount": Decimal(1), "currency": "USD",
        "actor": "test", "now": NOW, "secret_bytes": bytes(32), **fields,
    }  # fmt: skip
    with pytest.raises(ValidationFailed) as caught:
        budget_create(**wanted)
    assert caught.value.errors[0]["pointer"] == pointer
    assert not Budget.objects.exists()


def test_a_new_webhook_has_a_secret_of_its_own(house: House) -> None:
    wanted: Callable[[int], bytes] = lambda n: bytes([n]) * 32  # noqa: E731 - two secrets, told apart
    budget, first = budget_create(
        team_id=house.team, tenant_id=None, name="n", amount=Decimal(1), currency="USD", actor="test", now=NOW,
        secret_bytes=wanted(1), webhook_url="https://hooks.example.com/a",
    )  # fmt: skip
    changes = {"webhook_url": "https://hooks.example.com/b"}
    changed, second = budget_update(
        budget=budget, changes=changes, actor="test", now=NOW, secret_bytes=wanted(2)
    )
    assert first != second
    assert first is not None
    shown = budget_representation(changed, tenant=None, now=NOW)
    assert shown["webhook_url"] == "https://hooks.example.com/b"
    assert "whsec_" not in str(shown)
    assert not AuditEvent.objects.filter(data__icontains="whsec_").exists()
