"""A standing is the worst of its causes; each source takes back its own, and history keeps every change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.standing.models import Standing, StandingChange
from billing.standing.selectors import standing_of, tenants_held
from billing.standing.services import standing_hold, standing_release
from controlplane.core.models import AuditEvent

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
TENANT = uuid4()


def _hold(
    source: str, standing: str = "capped", after_s: int = 0, tenant_id: UUID = TENANT, **fields: Any
) -> bool:
    wanted = {"reason": f"because of {source}", "actions": ["block_runs"], **fields}
    at = NOW + timedelta(seconds=after_s)
    return standing_hold(
        tenant_id=tenant_id, team_id=None, source=source, standing=standing, at=at, actor="test", **wanted
    )


def _release(source: str, after_s: int = 0) -> bool:
    at = NOW + timedelta(seconds=after_s)
    return standing_release(tenant_id=TENANT, team_id=None, source=source, at=at, actor="test")


def test_a_tenant_nobody_holds_is_current() -> None:
    found = standing_of(tenant_id=uuid4())
    assert (found["standing"], found["since"], found["history"]) == ("current", None, [])


def test_the_worst_cause_is_shown_and_all_actions_hold() -> None:
    assert _hold("invoices", "past_due", actions=[])
    assert _hold("budget:1", after_s=1)
    assert _hold("budget:2", after_s=2, actions=["scale_gpu_to_zero"])
    found = standing_of(tenant_id=TENANT)
    assert (found["standing"], found["reason"]) == ("capped", "because of budget:1"), "the older of two caps"
    assert found["actions"] == ["block_runs", "scale_gpu_to_zero"]
    assert len(found["causes"]) == 3


def test_one_source_never_lifts_what_another_holds() -> None:
    _hold("budget:1")
    _hold("budget:2", after_s=1)
    assert _release("budget:1", 2), "the reason changes"
    assert standing_of(tenant_id=TENANT)["standing"] == "capped"
    assert _release("budget:2", 3)
    found = standing_of(tenant_id=TENANT)
    assert (found["standing"], found["actions"], found["reason"]) == ("current", [], "")


def test_saying_it_again_changes_nothing() -> None:
    assert _hold("budget:1")
    assert not _hold("budget:1", after_s=9)
    assert not _release("budget:2")
    assert StandingChange.objects.count() == AuditEvent.objects.count() == Standing.objects.get().version == 1


def test_history_keeps_what_was_and_since_when() -> None:
    _hold("budget:1")
    _hold("budget:1", after_s=5, actions=["block_runs", "scale_gpu_to_zero"])
    found = standing_of(tenant_id=TENANT)
    assert found["since"] == "2026-11-21T10:00:00Z", "it has been capped all the time"
    _release("budget:1", 9)
    found = standing_of(tenant_id=TENANT)
    assert [(row["before"], row["after"]) for row in found["history"]] == [
        ("capped", "current"), ("capped", "capped"), ("current", "capped"),
    ]  # fmt: skip
    assert found["since"] == "2026-11-21T10:00:09Z"


def test_who_is_held_by_a_source() -> None:
    other = uuid4()
    _hold("budget:1")
    _hold("budget:1", tenant_id=other)
    _hold("budget:2", tenant_id=other)
    assert tenants_held(source="budget:1") == {TENANT, other}
    assert tenants_held(source="budget:2") == {other}


def test_nonsense_is_refused() -> None:
    for bad in ({"standing": "current"}, {"standing": "rich"}, {"actions": ["delete"]}):
        with pytest.raises(ValueError, match="no standing"):
            _hold("budget:1", **bad)
    assert not Standing.objects.exists()
