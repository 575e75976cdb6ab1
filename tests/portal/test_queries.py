"""Every address of the portal that can be read costs at most 12 queries, over a team that has something of all.

The addresses are the patterns themselves, so that a new page is measured too.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.metering.spans import spans_reconcile
from billing.period import month_start
from contracts.stack import BillableResource
from controlplane.accounts.models import ApiKey, User
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.urls import urlpatterns
from controlplane.tenants import drafts
from controlplane.tenants.bulk import bulk_begin
from controlplane.tenants.models import Tenant
from tests.controlplane.tenants.test_snapshots import taken
from tests.portal import stories
from tests.portal.conftest import Browse
from tests.portal.test_totals import TERMS
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
MOST = 12
#: Routes that answer a form alone: a GET of them finds nothing, or leads to the page with the form.
FORMS = frozenset(
    {
        "audit-check", "budget-delete", "invitation-again", "invitation-revoke", "invoice-draft",
        "invoice-verb", "key-revoke", "key-rotate", "member-change", "member-remove", "operation-verb",
        "playground-say", "playground-stop", "report-schedule-new", "report-schedule-verb", "saved-view-delete",
        "tenant-budget-delete", "tenant-credentials", "tenant-credit-void", "tenant-delete", "tenant-details",
        "tenant-operate",
        "tenant-protection", "tenant-report-link-new", "tenant-report-link-revoke",
        "tenant-report-schedule-new", "tenant-report-schedule-verb", "tenant-run-content",
        "tenant-snapshot-delete", "tenant-snapshot-restore", "tenant-snapshot-take",
    }
)  # fmt: skip


@pytest.fixture
def addresses(
    owner: Person, active: Active, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The address of each pattern, and behind it a tenant of two months with all that pages show."""
    settings.FREEHOLD_HOME = tmp_path
    monkeypatch.setattr(drafts.current_app, "send_task", lambda *_, **__: None)
    cache.clear()
    now, api, tenant = clock.now(), owner.api(), active[0]
    last = month_start(month_start(now) - timedelta(days=1))
    Tenant.objects.filter(pk=tenant.pk).update(created_at=last - timedelta(days=40))
    _used(tenant, last, now)
    # Terms that begin inside a quarter of an hour, whose usage is counted from the events themselves.
    assert api("PATCH", "/tenants/acme/agreement", TERMS["minimum"]).status_code == 200
    _used(tenant, clock.now() - timedelta(hours=1), clock.now(), prefix="later")
    snapshot = taken(owner, tenant)
    for slug in ("initech", "umbrella"):
        stories.provisioned(owner.principal, slug, now)
    _, operation = stories.failed(owner.principal, "hooli", now)
    stories.awaiting_approval(owner.principal, "hal", now)

    def made(path: str, body: Any) -> Any:
        answer = api.post(path, body)
        assert answer.status_code in (200, 201), (path, answer.content)
        return answer.json()

    draft = made("/invoices", {"tenant": "acme", "period": f"{last:%Y-%m}"})
    invoice = made(f"/invoices/{draft['id']}/finalize", {})
    link = made("/tenants/acme/report-links", {"scope": "all"})
    budgets = [made(path, {"name": "Cap", "amount": "100"}) for path in ("/budgets", "/tenants/acme/budgets")]
    credit = made("/tenants/acme/credits", {"amount": "25", "name": "Gift", "source": "purchase"})
    invited = made("/invitations", {"email": "grace@example.com", "role": "viewer"})
    weekly = {"cadence": "weekly", "format": "csv", "emails": ["finance@example.com"]}
    schedules = [made("/report-schedules", {**weekly, **whose}) for whose in ({}, {"tenant": "acme"})]
    key = ApiKey.objects.first()
    wanted = {"slug": "newco", "name": "Newco", "plan": "starter", "target": "local"}
    asked = drafts.draft_plan_request(principal=owner.principal, **wanted, asked=wanted, now=now)
    several = bulk_begin(
        principal=owner.principal, verb="refresh", tenants=[tenant], wanted={}, key="k" * 20, now=now
    )
    by_name = {
        "slug": "acme",
        "bulk_id": several.pk,
        "view_id": uuid4(),
        "draft_id": asked,
        "operation_id": operation.pk,
        "invoice_id": invoice["id"],
        "line_id": next(line["id"] for line in invoice["lines"] if line["meter"]),
        "credit_id": credit["id"],
        "snapshot_id": snapshot.pk,
        "link_id": link["id"],
        "user_id": owner.user.pk,
        "invitation_id": invited["id"],
        "key_id": key.pk if key else uuid4(),
        "thread_id": uuid4(),
        "run_id": uuid4(),
        "verb": "pause",
        "form": "csv",
    }
    found = {}
    for pattern in urlpatterns:
        name, parts = str(pattern.name), pattern.pattern.converters
        own = {
            **by_name,
            "budget_id": budgets["slug" in parts]["id"],
            "schedule_id": schedules["slug" in parts]["id"],
            "token": urlsplit(link["url"] if name.startswith("shared") else invited["url"]).path.split("/")[
                -2
            ],
        }
        found[name] = reverse(f"portal:{name}", kwargs={each: own[each] for each in parts})
    return found


def _used(tenant: Tenant, at: datetime, received_at: datetime, prefix: str = "") -> None:
    calls = [
        event
        for number in range(20, 26)
        for event in (stories.model_call("acme", number, at), stories.run_end("acme", number, at))
    ]
    stories.used(tenant, [{**event, "id": f"{prefix}{event['id']}-{at:%m}"} for event in calls], received_at)


@pytest.fixture
def costs(
    browse: Browse, owner: Person, customer: User, addresses: dict[str, str]
) -> Callable[[], dict[str, int]]:
    """The queries of each page when it is read a second time: what is read once a process is no part of it."""

    def of_each() -> dict[str, int]:
        found, statuses = {}, {}
        people = {True: Client(), False: browse(owner)}
        people[True].force_login(customer)
        for name, path in addresses.items():
            client = people[name.startswith("customer-")]
            client.get(path)
            with CaptureQueriesContext(connection) as queries:
                answer = client.get(path)
                b"".join(answer)  # a stream too is read to its end
            found[name], statuses[name] = len(queries), answer.status_code
        assert {name for name, status in statuses.items() if status != 200} == FORMS
        return found

    return of_each


def test_every_page_costs_at_most_twelve_queries(costs: Callable[[], dict[str, int]]) -> None:
    assert {name: cost for name, cost in costs().items() if cost > MOST} == {}


def test_gpus_cost_a_query_more(active: Active, costs: Callable[[], dict[str, int]]) -> None:
    """When they existed and when runs were going, in one; where a tenant has GPUs is known once it was measured."""
    before = costs()
    spans_reconcile(
        tenant_id=active[0].pk,
        resources=[BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={"model": "l4"})],
        at=clock.now() - timedelta(hours=3),
        operation_id=uuid4(),
    )
    after = costs()
    more = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert more == {
        "customer-usage": 1, "customer-usage-file": 1, "shared-usage": 1,
        "shared-usage-file": 1, "tenant-cost": 1, "tenant-usage": 1,
    }  # fmt: skip
    assert {name: cost for name, cost in after.items() if cost > MOST} == {}
