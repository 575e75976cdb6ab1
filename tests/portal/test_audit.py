"""The audit log: found by the URL, unfolded without secrets, exported, and verified when asked to."""

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from controlplane.accounts.access import Principal
from controlplane.accounts.selectors import principal_of_user
from controlplane.core import clock
from controlplane.core.audit import audit_record
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

pytestmark = [
    pytest.mark.usefixtures("quiet_doorbell"),
    # The test client has no event loop; a server streams.
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]
Active = tuple[Tenant, Operation]


def record(owner: Person, action: str, **fields: Any) -> AuditEvent:
    wanted = {
        "actor": "user:olivia@example.com",
        "subject_type": "thing",
        "subject_id": "1",
        "at": clock.now(),
    }
    with transaction.atomic():
        return audit_record(action=action, team_id=owner.team.pk, **{**wanted, **fields})


def actions(page: Page) -> list[str]:
    """Of the events that are listed."""
    found = page.html.split('class="event-what"><span class="strong">')[1:]
    return [part.split("<")[0] for part in found]


def exported(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode())))


def test_each_event_unfolds_to_its_data(owner: Person, browse: Browse, active: Active) -> None:
    record(owner, "thing.changed", data={"before": {"seats": 1}, "note": "as agreed"})
    page = Page(browse(owner).get("/audit/"))

    assert actions(page)[0] == "thing.changed"
    assert '"seats": 1' in page.text
    assert "as agreed" in page.text
    assert page.all("a", href="/tenants/acme/")
    assert page.all("a", href=f"/operations/{active[1].pk}/")
    assert "Hidden" not in page.text
    assert_clean(page)
    assert_accessible(page)


def test_what_looks_like_a_secret_is_hidden_and_said_so(owner: Person, browse: Browse) -> None:
    plant = "fh_0123abcd_0123456789abcdef0123456789"
    record(owner, "thing.changed", data={"header": f"Bearer {plant}"})
    client = browse(owner)

    page = Page(client.get("/audit/"))
    assert plant not in page.html
    assert "[secret]" in page.text
    assert "What looks like a secret is shown as" in page.text
    assert plant not in "".join(row["data"] for row in exported(client.get("/audit/export.csv")))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("actor=KEY", ["b.made"]),
        ("action=made", ["b.made", "a.made"]),
        ("about=invoice", ["c.paid"]),
        ("about=42", ["c.paid"]),
        ("action=made&actor=olivia", ["a.made"]),
        ("actor=nobody", []),
    ],
)
def test_filters_are_in_the_url(owner: Person, browse: Browse, query: str, wanted: list[str]) -> None:
    AuditEvent.objects.all().delete()
    record(owner, "a.made")
    record(owner, "b.made", actor="key:12345678")
    record(owner, "c.paid", subject_type="invoice", subject_id="42")
    client = browse(owner)

    page = Page(client.get(f"/audit/?{query}"))

    assert actions(page) == wanted
    if wanted:
        assert [row["action"] for row in exported(client.get(f"/audit/export.csv?{query}"))] == wanted
    else:
        assert "No event matches" in page.text


def test_days_include_the_last_one(owner: Person, browse: Browse) -> None:
    AuditEvent.objects.all().delete()
    today = clock.now().replace(hour=23, minute=59)
    for back, action in ((2, "before"), (1, "yesterday"), (0, "today")):
        record(owner, action, at=today - timedelta(days=back))
    client = browse(owner)
    day = f"{today - timedelta(days=1):%Y-%m-%d}"

    assert actions(Page(client.get(f"/audit/?from={day}&to={day}"))) == ["yesterday"]
    assert actions(Page(client.get(f"/audit/?to={day}"))) == ["yesterday", "before"]
    wrong = Page(client.get("/audit/?from=soon"))
    assert wrong.status == 422
    assert "must be a day as YYYY-MM-DD" in wrong.text


def test_a_tenant_is_found_with_all_that_happened_to_it(
    owner: Person, browse: Browse, active: Active
) -> None:
    tenant, operation = active
    AuditEvent.objects.all().delete()
    record(owner, "by.id", subject_type="tenant", subject_id=str(tenant.pk))
    record(owner, "by.operation", subject_type="operation", subject_id=str(operation.pk))
    record(owner, "by.slug", data={"tenant": "acme"})
    record(owner, "by.data", data={"tenant_id": str(tenant.pk)})
    record(owner, "by.nothing", data={"tenant": "acme-two"})

    page = Page(browse(owner).get("/audit/?about=acme"))

    assert actions(page) == ["by.data", "by.slug", "by.operation", "by.id"]


def test_it_pages(owner: Person, browse: Browse) -> None:
    for number in range(60):
        record(owner, f"n.{number}")
    client = browse(owner)

    first, second = Page(client.get("/audit/?action=n.")), Page(client.get("/audit/?action=n.&page=2"))

    assert len(actions(first)) == 50
    assert actions(second)[-1] == "n.0"
    assert first.all("a", href="?action=n.&page=2", rel="next")


def test_the_export_is_safe_for_spreadsheets_and_bounded(
    owner: Person, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        record(owner, f"n.{number}")
    record(owner, "=cmd()", actor="+1", subject_id="@x")
    monkeypatch.setattr("controlplane.core.audit_search.CHUNK", 2)
    monkeypatch.setattr("controlplane.portal.audit.EXPORT_ROWS", 5)

    rows = exported(browse(owner).get("/audit/export.csv"))

    assert (rows[0]["action"], rows[0]["actor"], rows[0]["subject_id"]) == ("'=cmd()", "'+1", "'@x")
    assert [row["action"] for row in rows[1:5]] == ["n.6", "n.5", "n.4", "n.3"]
    assert rows[5]["sequence"].startswith("The export ends after 5 events")
    assert len(rows) == 6


def test_the_chain_is_verified_when_asked_to(owner: Person, browse: Browse) -> None:
    event = record(owner, "thing.changed")
    client = browse(owner)

    whole = Page(client.post("/audit/verify/", follow=True))
    assert "The chain is intact" in whole.text
    assert whole.all("div", role="status")

    AuditEvent.objects.filter(pk=event.pk).update(actor="user:nobody@example.com")
    broken = Page(client.post("/audit/verify/", follow=True))
    assert f"The chain is broken at event {event.sequence}" in broken.text
    assert broken.all("div", role="alert")


def test_who_may_read_it(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(owner, "thing.changed")
    for method, path in (("get", "/audit/"), ("get", "/audit/export.csv"), ("post", "/audit/verify/")):
        assert getattr(browse(teammate), method)(path).status_code == 403
        assert getattr(browse(None), method)(path).status_code == 302
    assert "thing.changed" not in Page(browse(stranger).get("/audit/")).html
    assert "thing.changed" not in str(exported(browse(stranger).get("/audit/export.csv")))
    assert not Page(browse(teammate).get("/")).all("a", href="/audit/")

    def limited(*, user: Any) -> Principal | None:
        found = principal_of_user(user=user)
        return found and replace(found, tenant_ids=frozenset())

    monkeypatch.setattr("controlplane.portal.pages.principal_of_user", limited)
    refused = Page(browse(owner).get("/audit/"))
    assert refused.status == 403
    assert "limited to some tenants" in refused.text


def test_it_costs_few_queries(
    owner: Person, browse: Browse, active: Active, django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    with django_assert_max_num_queries(12):
        client.get("/audit/?about=acme")
