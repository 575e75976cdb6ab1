"""What billing standings ask for is done: runs refused, GPUs given back once, and all of it undone when it is over."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from billing.standing.services import standing_hold, standing_release
from controlplane.core import clock
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants import standing
from controlplane.tenants.models import StandingEnactment, Tenant
from controlplane.tenants.services import tenant_operate
from controlplane.tenants.standing import TELL_AGAIN, standing_enact, standings_enact
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.django_db
SOURCE = "budget:1"
ZERO = ("scale_gpu_to_zero",)


@dataclass
class Told:
    """The runtime's admin interface: what it was asked, and whether it answers."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: bool = True

    def post(self, *, tenant: Tenant, path: str, body: Any, timeout_s: float) -> dict[str, Any]:
        if not self.answers:
            raise httpx.ConnectError("nobody is there")
        self.asked.append((path, dict(body)))
        return {}

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told()
    monkeypatch.setattr(standing, "runtime_admin_post", found.post)
    return found


@pytest.fixture
def tenant(owner: Person, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setattr("controlplane.operations.doorbell.doorbell_ring", lambda: None)
    tenant, _ = stories.provisioned(owner.principal, "acme", clock.now())
    tenant.refresh_from_db()
    assert tenant.lifecycle == "active"
    return tenant


def _hold(tenant: Tenant, *actions: str, reason: str = "It is spent.") -> None:
    standing_hold(
        tenant_id=tenant.pk, team_id=tenant.team_id, source=SOURCE, standing="capped", reason=reason,
        actions=actions, at=clock.now(), actor="test",
    )  # fmt: skip


def _release(tenant: Tenant) -> None:
    standing_release(tenant_id=tenant.pk, team_id=tenant.team_id, source=SOURCE, at=clock.now(), actor="test")


def _enact(tenant: Tenant, after: timedelta = timedelta(0)) -> bool:
    done = standing_enact(tenant_id=tenant.pk, now=clock.now() + after)
    tenant.refresh_from_db()
    return done


def _power(tenant: Tenant) -> list[Operation]:
    kinds = (operation_states.SUSPEND, operation_states.RESUME)
    return list(Operation.objects.filter(tenant=tenant, kind__in=kinds).order_by("created_at", "pk"))


def _ended(operation: Operation, tenant: Tenant, lifecycle: str, now: datetime | None = None) -> None:
    """As the executor would leave both."""
    Operation.objects.filter(pk=operation.pk).update(
        state=operation_states.SUCCEEDED, finished_at=now or clock.now()
    )
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=lifecycle)
    tenant.refresh_from_db()


def test_runs_are_refused_once_told_and_taken_again_when_it_is_over(tenant: Tenant, told: Told) -> None:
    _hold(tenant, "block_runs", reason="The budget is spent.")
    assert _enact(tenant)
    assert told.asked == [("pause", {"reason": "The budget is spent.", "hint": standing.HINT})]
    assert tenant.billing == "capped"
    assert not _enact(tenant), "nothing is left to do"
    assert told.paths == ["pause"]
    _release(tenant)
    assert _enact(tenant)
    assert told.paths == ["pause", "resume"]
    assert tenant.billing == "current"
    assert not _enact(tenant)


def test_a_runtime_that_does_not_answer_is_told_later(tenant: Tenant, told: Told) -> None:
    told.answers = False
    _hold(tenant, "block_runs")
    _enact(tenant)
    row = StandingEnactment.objects.get(tenant=tenant)
    assert (row.runs_paused, row.problem) == (
        False, "The runtime could not be told (ConnectError); it is tried again.",
    )  # fmt: skip
    assert tenant.billing == "capped", "what holds is shown at once"
    told.answers = True
    assert _enact(tenant)
    row.refresh_from_db()
    assert (row.runs_paused, row.problem) == (True, "")


def test_a_pause_is_told_again_at_times_and_with_a_new_reason(tenant: Tenant, told: Told) -> None:
    _hold(tenant, "block_runs", reason="first")
    _enact(tenant)
    _enact(tenant, TELL_AGAIN)
    _hold(tenant, "block_runs", reason="second")
    _enact(tenant, TELL_AGAIN)
    assert [body["reason"] for _, body in told.asked] == ["first", "first", "second"]


def test_after_a_restore_the_runtime_is_told_again(tenant: Tenant, told: Told, owner: Person) -> None:
    """The note lies in the data that a restore replaces; it may also bring one that nobody means any more."""
    restore = tenant_operate(principal=owner.principal, tenant=tenant, kind="restore", now=clock.now())
    _ended(restore, tenant, "active")
    assert standings_enact(clock_now=clock.now) == 0
    assert told.paths == ["resume"], "the snapshot may be of a tenant that was capped"
    standings_enact(clock_now=clock.now)
    assert told.paths == ["resume"]
    _hold(tenant, "block_runs")
    _enact(tenant)
    again = tenant_operate(principal=owner.principal, tenant=tenant, kind="restore", now=clock.now())
    _ended(again, tenant, "active")
    _enact(tenant)
    assert told.paths == ["resume", "pause", "pause"]


def test_gpus_go_once_by_a_suspension_with_the_reason(tenant: Tenant, told: Told) -> None:
    _hold(tenant, *ZERO, reason="100 % of the budget Platform is spent.")
    assert _enact(tenant)
    for _ in range(3):
        assert not _enact(tenant)
    (suspend,) = _power(tenant)
    assert (suspend.kind, suspend.reason, suspend.requested_by) == (
        "suspend", "100 % of the budget Platform is spent.", standing.ACTOR,
    )  # fmt: skip
    _ended(suspend, tenant, "suspended")
    _hold(tenant, *ZERO, reason="another reason")
    assert not _enact(tenant)
    assert len(_power(tenant)) == 1
    assert told.asked == [], "nobody asked to refuse runs"


def test_a_tenant_that_is_busy_waits_its_turn(tenant: Tenant, told: Told, owner: Person) -> None:
    update = tenant_operate(principal=owner.principal, tenant=tenant, kind="update", now=clock.now())
    Operation.objects.filter(pk=update.pk).update(state=operation_states.APPLYING)
    _hold(tenant, *ZERO)
    _enact(tenant)
    (suspend,) = _power(tenant)
    assert suspend.state == "queued", "behind the update: one operation of a stack at a time"


def test_a_lifecycle_that_allows_no_suspension_is_tried_again(tenant: Tenant, told: Told) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="provisioning")
    _hold(tenant, *ZERO)
    assert _enact(tenant), "the standing is shown"
    assert "needs it to be active" in StandingEnactment.objects.get(tenant=tenant).problem
    assert _power(tenant) == []
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="active")
    assert _enact(tenant)
    assert len(_power(tenant)) == 1


def test_a_person_who_resumes_it_decided_later(tenant: Tenant, told: Told, owner: Person) -> None:
    _hold(tenant, *ZERO)
    _enact(tenant)
    _ended(_power(tenant)[0], tenant, "suspended")
    resume = tenant_operate(principal=owner.principal, tenant=tenant, kind="resume", now=clock.now())
    _ended(resume, tenant, "active")
    assert not _enact(tenant)
    assert len(_power(tenant)) == 2


def test_it_stays_suspended_unless_the_budget_said_otherwise(tenant: Tenant, told: Told) -> None:
    _hold(tenant, *ZERO)
    _enact(tenant)
    _ended(_power(tenant)[0], tenant, "suspended")
    _release(tenant)
    _enact(tenant)
    assert [each.kind for each in _power(tenant)] == ["suspend"]


def test_it_is_resumed_afterwards_where_the_budget_said_so(tenant: Tenant, told: Told) -> None:
    _hold(tenant, *ZERO, "resume_afterwards")
    _enact(tenant)
    _ended(_power(tenant)[0], tenant, "suspended")
    _release(tenant)
    assert _enact(tenant)
    assert not _enact(tenant)
    assert [each.kind for each in _power(tenant)] == ["suspend", "resume"]


def test_somebody_elses_suspension_is_not_undone(tenant: Tenant, told: Told, owner: Person) -> None:
    mine = tenant_operate(principal=owner.principal, tenant=tenant, kind="suspend", now=clock.now())
    _ended(mine, tenant, "suspended")
    _hold(tenant, *ZERO, "resume_afterwards")
    _enact(tenant)
    _release(tenant)
    _enact(tenant)
    assert [each.kind for each in _power(tenant)] == ["suspend"]


def test_a_suspension_that_still_waits_is_called_off(tenant: Tenant, told: Told) -> None:
    _hold(tenant, *ZERO)
    _enact(tenant)
    _release(tenant)
    assert _enact(tenant)
    (suspend,) = _power(tenant)
    assert suspend.state == "canceled"
    _hold(tenant, *ZERO)
    assert _enact(tenant), "another call is another suspension"
    assert len(_power(tenant)) == 2


def test_one_under_way_is_waited_for(tenant: Tenant, told: Told) -> None:
    _hold(tenant, *ZERO, "resume_afterwards")
    _enact(tenant)
    (suspend,) = _power(tenant)
    Operation.objects.filter(pk=suspend.pk).update(state=operation_states.APPLYING)
    _release(tenant)
    _enact(tenant)
    assert "under way" in StandingEnactment.objects.get(tenant=tenant).problem
    _ended(suspend, tenant, "suspended")
    assert _enact(tenant)
    assert [each.kind for each in _power(tenant)] == ["suspend", "resume"]


def test_a_suspended_tenants_runtime_is_told_when_it_is_back(tenant: Tenant, told: Told) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="suspended")
    _hold(tenant, "block_runs")
    _enact(tenant)
    assert told.asked == []
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="active")
    _enact(tenant)
    assert told.paths == ["pause"]


def test_one_that_fails_holds_up_no_other_and_stops_in_time(
    tenant: Tenant, told: Told, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = stories.provisioned(owner.principal, "globex", clock.now())
    _hold(tenant, "block_runs")
    _hold(other, "block_runs")
    real = standing.standing_enact

    def torn(*, tenant_id: Any, now: datetime) -> bool:
        if tenant_id == tenant.pk:
            raise ZeroDivisionError
        return real(tenant_id=tenant_id, now=now)

    monkeypatch.setattr(standing, "standing_enact", torn)
    assert standings_enact(clock_now=clock.now, until=lambda: True) == 0
    assert standings_enact(clock_now=clock.now) == 1
    other.refresh_from_db()
    assert other.billing == "capped"


def test_a_tenant_that_is_gone_is_left_alone(tenant: Tenant, told: Told) -> None:
    _hold(tenant, "block_runs")
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="deprovisioned")
    assert not _enact(tenant)
    assert told.asked == []
