"""A plan of what does not exist: the real engine over an empty state that leaves nothing behind."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache

from controlplane.core import clock
from controlplane.operations.dry_run import DryRunFailed, dry_run_plan
from controlplane.operations.models import Operation, Stack
from controlplane.tenants import drafts
from controlplane.tenants.models import Tenant
from embedded.processes import processes_marked
from tests.support.people import Person

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def draft_id(householder: Person, monkeypatch: pytest.MonkeyPatch) -> UUID:
    cache.clear()
    monkeypatch.setattr(drafts.current_app, "send_task", lambda *_, **__: None)
    return drafts.draft_plan_request(
        principal=householder.principal, slug="acme", name="Acme", plan="pro", target="local",
        overrides={"postgres": {"max_connections": 77}}, now=clock.now(),
    )  # fmt: skip


def _left(home: Path) -> list[Path]:
    return [path for path in (home / "pulumi" / "work").rglob("*") if path.is_file()]


def test_the_engine_plans_a_tenant_that_does_not_exist(
    householder: Person, draft_id: UUID, settings: Any
) -> None:
    home: Path = settings.FREEHOLD_HOME
    assert drafts.draft_plan_compute(draft_id=draft_id) == "planned"
    found = drafts.draft_plan_get(principal=householder.principal, draft_id=draft_id)

    assert found.result is not None
    assert {row["op"] for row in found.result.plan} == {"create"}
    assert "local:index:PostgresServer" in {row["type"] for row in found.result.plan}
    assert found.result.assessment.policy.rules
    assert found.result.assessment.cost is not None
    assert not Tenant.objects.exists()
    assert not Operation.objects.exists()
    assert not Stack.objects.exists()
    assert _left(home) == []
    assert not (home / "tenants" / "acme").exists()
    assert processes_marked(str(home / "operations")) == []


def test_a_plan_that_takes_too_long_is_ended_with_everything_it_started(
    householder: Person, draft_id: UUID, settings: Any
) -> None:
    home: Path = settings.FREEHOLD_HOME
    spec = drafts.draft_plan_get(principal=householder.principal, draft_id=draft_id).spec
    with pytest.raises(DryRunFailed, match="no plan within 0 s"):
        dry_run_plan(spec=spec, deadline_s=0.4)
    assert processes_marked(str(home / "operations")) == []
    assert _left(home) == []
