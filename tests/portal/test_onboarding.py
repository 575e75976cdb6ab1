"""Onboarding before anything exists: sizes of one's own, a plan by the engine, and who may see it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache

from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.operations.dry_run import DryRun, DryRunFailed
from controlplane.operations.models import Operation
from controlplane.tenants import drafts
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.assessments import assessment
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")

ASKED = {"name": "Acme", "slug": "acme", "plan": "starter", "target": "local", "contact_email": ""}
ROW = {"urn": "urn:db", "type": "local:index:PostgresServer", "name": "acme-db", "op": "create", "diffs": []}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was handed to workers; none of them runs."""
    cache.clear()
    calls: list[list[str]] = []
    monkeypatch.setattr(drafts.current_app, "send_task", lambda name, args, **_: calls.append([name, *args]))
    return calls


def _review(client: Any, **fields: str) -> Any:
    page = Page(client.get("/tenants/new/"))
    return client.post(
        "/tenants/new/", {**ASKED, "form_key": page.value("form_key"), "step": "review", **fields}
    )


def test_a_review_shows_what_would_be_made_and_makes_nothing(
    owner: Person, browse: Browse, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(owner)
    asked = _review(client, postgres_max_connections="77", requires_approval="on")
    assert asked.status_code == 302
    waiting = Page(client.get(asked.headers["Location"]))
    for text in ("Planning the stack", "77", "the plan's: 40", "It stops after its plan"):
        assert text in waiting.text
    assert "Postgres connections" in waiting.text
    # A tenant on this machine has no disks of its own: no size of one is promised.
    assert "storage" not in waiting.text
    assert waiting.all("div", hx_trigger="load delay:1s, again delay:3s")
    assert waiting.all("meta", http_equiv="refresh"), "without scripts it looks again by itself"
    assert_clean(waiting)
    assert_accessible(waiting)

    draft_id = UUID(sent[0][1])
    assert sent[0][0] == drafts.PLAN_TASK
    specs: list[StackSpec] = []
    result = DryRun(plan=[ROW], assessment=assessment(before="0", after="12.50"))

    def planned_as(*, spec: StackSpec) -> DryRun:
        specs.append(spec)
        return result

    monkeypatch.setattr(drafts, "dry_run_plan", planned_as)
    assert drafts.draft_plan_compute(draft_id=draft_id) == "planned"
    assert drafts.draft_plan_compute(draft_id=draft_id) is None, "once"
    assert specs[0].postgres.max_connections == 77

    for path in (asked.headers["Location"], f"{asked.headers['Location']}plan/"):
        planned = Page(client.get(path))
        for text in ("acme-db", "$12.50"):
            assert text in planned.text
        assert not planned.all("div", hx_trigger="load delay:1s, again delay:3s")
    assert not Tenant.objects.exists()
    assert not Operation.objects.exists()

    shown = Page(client.get(asked.headers["Location"]))
    fields = {found["name"]: found["value"] for found in shown.all("input", type="hidden")}
    made = client.post("/tenants/new/", {**fields, "step": "create"})
    tenant = Tenant.objects.get()
    assert made.headers["Location"].startswith("/operations/")
    assert tenant.overrides == {"postgres": {"max_connections": 77}}
    assert Operation.objects.get().requires_approval

    back = Page(client.post("/tenants/new/", {**fields, "step": "edit"}))
    assert back.value("postgres_max_connections") == "77"


def test_wrong_sizes_are_named_beside_their_field(
    owner: Person, browse: Browse, sent: list[list[str]]
) -> None:
    client = browse(owner)
    for size, said in (("many", "must be a whole number"), ("5", "greater than or equal to 10")):
        page = Page(_review(client, postgres_max_connections=size))
        assert page.status == 422
        assert said in page.text
        assert page.all("input", id="postgres_max_connections", aria_invalid="true")
        assert page.all("details", open="")
    assert sent == []
    assert not Tenant.objects.exists()


def test_what_the_engine_refuses_is_said(
    owner: Person, browse: Browse, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(owner)
    where = _review(client).headers["Location"]

    def refuse(*, spec: object) -> DryRun:
        raise DryRunFailed("Planning failed: no such thing", hint="Mend it.")

    monkeypatch.setattr(drafts, "dry_run_plan", refuse)
    assert drafts.draft_plan_compute(draft_id=UUID(sent[0][1])) == "failed"
    page = Page(client.get(where))
    assert "This stack cannot be planned" in page.text
    assert "no such thing" in page.text


def test_a_busy_fleet_of_workers_is_said(
    owner: Person, browse: Browse, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(owner)
    where = _review(client).headers["Location"]
    later = clock.now() + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "No worker has taken it yet" in Page(client.get(where)).text


def test_three_people(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, sent: list[list[str]]
) -> None:
    where = _review(browse(owner)).headers["Location"]
    for path in (where, f"{where}plan/"):
        assert browse(owner).get(path).status_code == 200
        assert browse(teammate).get(path).status_code == 403
        assert browse(stranger).get(path).status_code == 404
        assert browse(None).get(path).status_code == 302
    assert browse(teammate).post("/tenants/new/", {**ASKED, "step": "review"}).status_code == 403
    assert len(sent) == 1
    cache.clear()
    assert browse(owner).get(where).status_code == 404


def test_without_redis_it_is_said_and_nothing_is_half_done(
    owner: Person, browse: Browse, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(cache, "set", away)
    page = Page(_review(browse(owner)))
    assert page.status == 503
    assert "Redis does not answer" in page.text
    assert sent == []
