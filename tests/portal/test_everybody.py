"""Every address of the portal for everybody: the owner, a teammate who may look, a stranger, and nobody at all.

A new address fails here until it has a row in ROUTES. What it shows, and what its forms do, other files test.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from billing.budgets.models import Budget
from billing.ledger.models import CreditGrant
from billing.reports.models import ReportLink, ReportSchedule
from controlplane.accounts.models import ApiKey, Invitation, SavedView
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.urls import urlpatterns
from controlplane.tenants import drafts
from controlplane.tenants.models import Tenant
from tests.controlplane.tenants.test_snapshots import taken
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")

LOGIN: Final = 302
ABSENT: Final = "00000000-0000-7000-8000-000000000000"
#: What only this team may read anywhere.
OURS: Final = ("Vandelay Industries", "hooli", "olivia@example.com", "tom@example.com", "grace@example.com")


@dataclass(frozen=True)
class Route:
    """What GET answers owner, teammate, stranger and nobody; `post` is a form that the owner may send."""

    get: tuple[int, int, int, int]
    post: dict[str, str] | None = None
    given: dict[str, str] = field(default_factory=dict)
    #: Of a whole team: a stranger finds, and changes, their own.
    team: bool = False
    #: Of whoever asks: everybody changes their own, and nothing else.
    own: bool = False


#: Of one of our things.
READ: Final = (200, 200, 404, LOGIN)
CHANGE: Final = (200, 403, 404, LOGIN)
#: Takes a form only, or is for a tenant's own people alone.
FORM: Final = (404, 404, 404, LOGIN)
#: Of the whole team, and of the stranger's own team.
TEAM_READ: Final = (200, 200, 200, LOGIN)
TEAM_CHANGE: Final = (200, 403, 200, LOGIN)
#: Whoever holds the address.
LINK: Final = (200, 200, 200, 200)

RUN: Final = {"thread_id": ABSENT, "run_id": ABSENT}
BUDGET: Final = {"name": "Platform", "amount": "5"}
SCHEDULE: Final = {"cadence": "weekly", "format": "pdf", "emails": "a@example.com"}
PAUSE: Final = {"verb": "pause"}

ROUTES: Final[dict[str, Route]] = {
    "home": Route(TEAM_READ, team=True),
    "tenants": Route(TEAM_READ, team=True),
    "tenants-file": Route(TEAM_READ, team=True),
    "tenant-new": Route(
        TEAM_CHANGE, {"slug": "newco", "name": "N", "plan": "starter", "target": "local"}, team=True
    ),
    "tenant-review": Route(CHANGE),
    "tenant-draft": Route(CHANGE),
    "tenant": Route(READ),
    "tenant-start": Route(READ, {"name": "x"}),
    "tenant-resources": Route(READ),
    "tenant-agents": Route(READ),
    "tenant-run": Route(READ, given=RUN),
    "tenant-run-content": Route((302, 302, 404, LOGIN), {}, RUN),
    "playground": Route(CHANGE),
    "playground-say": Route(FORM, {"agent": "speaking", "text": "hello"}),
    "playground-stop": Route(FORM, {"thread": ABSENT, "run": ABSENT}),
    "playground-stream": Route((200, 403, 404, 401), given=RUN),
    "tenant-operations": Route(READ),
    "tenant-usage": Route(READ),
    "tenant-report-schedule-new": Route(FORM, SCHEDULE),
    "tenant-report-schedule-verb": Route(FORM, {}, PAUSE),
    "tenant-report-link-new": Route((302, 302, 404, LOGIN), {"label": "x"}),
    "tenant-report-link-revoke": Route(FORM, {}),
    "tenant-billing": Route(READ),
    "tenant-budgets": Route(READ),
    "tenant-budget-new": Route(CHANGE, BUDGET),
    "tenant-budget": Route(READ, BUDGET),
    "tenant-budget-delete": Route(FORM, {}),
    "tenant-cost": Route(READ),
    "tenant-credits": Route(
        READ, {"name": "Gift", "amount": "5", "reason": "x", "source": "promotion", "priority": "50"}
    ),
    "tenant-credit-void": Route(FORM, {"reason": "x"}),
    "tenant-snapshots": Route(READ),
    "tenant-snapshot-take": Route(FORM, {}),
    "tenant-snapshot-restore": Route(FORM, {"confirm": "acme"}),
    "tenant-snapshot-delete": Route(FORM, {}),
    "tenant-settings": Route(READ),
    "tenant-customers": Route(CHANGE, {"email": "new@example.com"}),
    "tenant-details": Route((302, 403, 404, LOGIN), {"name": "Renamed", "labels": "a=b"}),
    "tenant-protection": Route(FORM, {"deletion_protection": "on"}),
    "tenant-credentials": Route((302, 403, 404, LOGIN), {"name": "x"}),
    "tenant-delete": Route(FORM, {"confirm": "acme"}),
    "tenant-operate": Route(FORM, {}, {"verb": "update"}),
    "operations": Route(TEAM_READ, team=True),
    "operation": Route(READ),
    "operation-live": Route(READ),
    "operation-verb": Route(FORM, {}, {"verb": "approve"}),
    "invoice-draft": Route(FORM, {}),
    "invoices": Route(TEAM_READ, team=True),
    "invoice": Route(READ),
    "invoice-line": Route(READ),
    "invoice-verb": Route(FORM, {}, {"verb": "finalize"}),
    "shared-usage": Route(LINK),
    "shared-usage-file": Route(LINK, given={"form": "csv"}),
    "shared-invoices": Route(LINK),
    "shared-invoice": Route(LINK),
    "shared-invoice-file": Route(LINK),
    "shared-health": Route(LINK),
    "shared-agents": Route(LINK),
    "customer-usage": Route(FORM),
    "customer-usage-file": Route(FORM, given={"form": "csv"}),
    "customer-invoices": Route(FORM),
    "customer-invoice": Route(FORM),
    "customer-invoice-file": Route(FORM),
    "customer-health": Route(FORM),
    "customer-agents": Route(FORM),
    "failures": Route(TEAM_READ, team=True),
    "budgets": Route(TEAM_READ, team=True),
    "budget-new": Route(TEAM_CHANGE, BUDGET, team=True),
    "budget": Route(READ, BUDGET),
    "budget-delete": Route(FORM, {}),
    "usage": Route(TEAM_READ, team=True),
    "report-schedule-new": Route(FORM, SCHEDULE, team=True),
    "report-schedule-verb": Route(FORM, {}, PAUSE),
    "margin": Route(TEAM_READ, team=True),
    "margin-file": Route(TEAM_READ, team=True),
    "audit": Route(TEAM_CHANGE, team=True),
    "audit-export": Route(TEAM_CHANGE, team=True),
    "audit-check": Route(FORM, {}, team=True),
    "access": Route(TEAM_CHANGE, {"email": "new@example.com", "role": "viewer"}, team=True),
    "member-change": Route(FORM, {"role": "operator"}),
    "member-remove": Route(FORM, {}),
    "invitation-again": Route(FORM, {}),
    "invitation-revoke": Route(FORM, {}),
    "preferences": Route(TEAM_READ, {"time_zone": "Asia/Tokyo"}, team=True, own=True),
    "saved-views": Route(TEAM_READ, {"list": "tenants", "query": "q=a", "name": "n"}, team=True, own=True),
    "saved-view-delete": Route(FORM, {}),
    "tenants-bulk": Route(TEAM_CHANGE, {"verb": "refresh"}, team=True),
    "tenants-bulk-outcome": Route(READ, {}),
    "search": Route(TEAM_READ, team=True),
    "search-hits": Route(TEAM_READ, team=True),
    "join": Route(LINK),
    "keys": Route(TEAM_CHANGE, {"name": "x", "scopes": "tenants:read"}, team=True),
    "key-rotate": Route(FORM, {"overlap": "0"}),
    "key-revoke": Route(FORM, {}),
}


@pytest.fixture
def addresses(
    owner: Person, teammate: Person, active: tuple[Tenant, Operation], settings: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, browse: Browse,
) -> dict[str, str]:  # fmt: skip
    """One path for each route, of things that there are."""
    settings.FREEHOLD_HOME = tmp_path
    monkeypatch.setattr(drafts.current_app, "send_task", lambda *args, **_: None)
    api, tenant, now = owner.api(), active[0], clock.now()
    Tenant.objects.filter(pk=tenant.pk).update(name="Vandelay Industries")
    snapshot = taken(owner, tenant)
    stories.failed(owner.principal, "hooli", now)
    waiting = stories.awaiting_approval(owner.principal, "initech", now)[1]

    def made(path: str, body: dict[str, Any]) -> Any:
        answer = api.post(path, body)
        assert answer.status_code == 201, (path, answer.content)
        return answer.json()

    shared = urlsplit(made("/tenants/acme/report-links", {"scope": "all"})["url"]).path
    invited = urlsplit(made("/invitations", {"email": "grace@example.com", "role": "viewer"})["url"]).path
    for path in ("/budgets", "/tenants/acme/budgets"):
        made(path, {"name": "Cap", "amount": "100"})
    made("/tenants/acme/credits", {"name": "Gift", "amount": "5", "source": "promotion"})
    invoice = made("/invoices", {"tenant": "acme", "period": f"{now:%Y-%m}"})
    issued = stories.invoiced(tenant)
    client = browse(owner)
    for path in ("/usage/schedules/", "/tenants/acme/usage/schedules/"):
        assert client.post(path, SCHEDULE).status_code == 302
    form = {"name": "N", "slug": "newco", "plan": "starter", "target": "local", "step": "review"}
    draft = client.post("/tenants/new/", form).headers["Location"].split("/")[-2]

    client.post("/views/", {"list": "tenants", "query": "q=a", "name": "Ours", "shared": "on"})
    bulk = client.post("/bulk/tenants/", {"verb": "refresh", "tenants": str(tenant.pk)})

    ids: dict[str, Any] = {
        "view_id": SavedView.objects.get().pk,
        "bulk_id": bulk.headers["Location"].split("/")[-2],
        "slug": "acme",
        "draft_id": draft,
        "operation_id": waiting.id,
        "invoice_id": invoice["id"],
        "line_id": invoice["lines"][0]["id"],
        "credit_id": CreditGrant.objects.get().pk,
        "snapshot_id": snapshot.pk,
        "link_id": ReportLink.objects.get().pk,
        "user_id": teammate.user.pk,
        "invitation_id": Invitation.objects.get().pk,
        "key_id": ApiKey.objects.get(name=owner.user.email).pk,
    }
    found = {}
    for pattern in urlpatterns:
        name = str(pattern.name)
        of_tenant = name.startswith("tenant-")
        owned = {
            "budget_id": Budget.objects.get(tenant_id=tenant.pk if of_tenant else None).pk,
            "schedule_id": ReportSchedule.objects.get(tenant_id=tenant.pk if of_tenant else None).pk,
            "token": (invited if name == "join" else shared).split("/")[-2],
        }
        if name.startswith("shared-"):
            owned["invoice_id"] = issued.pk
        known = {**ids, **owned, **(ROUTES[name].given if name in ROUTES else {})}
        wanted = pattern.pattern.converters
        if name in ROUTES:
            found[name] = reverse(f"portal:{name}", kwargs={each: known[each] for each in wanted})
    return found


def everything() -> dict[str, str]:
    """What is stored, in one word a table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        # Whoever comes has a session; it is theirs.
        tables = sorted(row[0] for row in cursor.fetchall() if row[0] != "django_session")
        each = (
            f"SELECT '{name}', count(*) || md5(coalesce(string_agg(t::text, '' ORDER BY t::text), ''))"
            f' FROM "{name}" t'
            for name in tables
        )
        cursor.execute(" UNION ALL ".join(each))
        return dict(cursor.fetchall())


def people_of(
    browse: Browse, owner: Person, teammate: Person, stranger: Person
) -> tuple[tuple[str, Client], ...]:
    return (
        ("owner", browse(owner)),
        ("teammate", browse(teammate)),
        ("stranger", browse(stranger)),
        ("nobody", browse(None)),
    )


def test_every_address_is_classified() -> None:
    names = {str(pattern.name) for pattern in urlpatterns}
    assert names - set(ROUTES) == set(), "say in ROUTES who may read it, and what its form needs"
    assert set(ROUTES) - names == set(), "these are gone"


def test_everybody_reads_what_is_theirs(
    browse: Browse, owner: Person, teammate: Person, stranger: Person, addresses: dict[str, str]
) -> None:
    wrong: list[str] = []
    for place, (who, client) in enumerate(people_of(browse, owner, teammate, stranger)):
        for name, path in addresses.items():
            answer = client.get(path)
            if answer.status_code != ROUTES[name].get[place]:
                wrong.append(f"{name} answers {who} with {answer.status_code}: {path}")
            if answer.status_code == 302 and who == "nobody" and "/account/login/" not in answer.url:
                wrong.append(f"{name} sends nobody to {answer.url}")
            if who == "stranger" and ROUTES[name].get is not LINK and not answer.streaming:
                told = [each for each in OURS if each in answer.content.decode(errors="replace")]
                wrong += [f"{name} tells a stranger of {each}" for each in told]
    assert wrong == []


def test_nobody_else_changes_anything(
    browse: Browse, owner: Person, teammate: Person, stranger: Person, addresses: dict[str, str]
) -> None:
    people = people_of(browse, owner, teammate, stranger)[1:]
    before, wrong = everything(), list[str]()
    for who, client in people:
        for name, path in addresses.items():
            route = ROUTES[name]
            if route.team and route.post is not None and who == "stranger":
                continue  # that is their own team's
            if route.own and who != "nobody":
                continue  # that is their own
            answer = client.post(path, route.post or {})
            if route.get is LINK:
                expected: tuple[int, ...] = (405, 422)
            elif name == "playground-stream":
                expected = (401,) if who == "nobody" else (404,)
            elif who == "nobody":
                expected = (LOGIN,)
            else:
                expected = (403,) if route.post is not None and who == "teammate" else (404,)
            if answer.status_code not in expected:
                wrong.append(f"{name} answers {who}'s form with {answer.status_code}")
            after = everything()
            changed = [table for table in after if after[table] != before.get(table)]
            if changed:
                wrong.append(f"{name} lets {who} change {changed}")
                before = after
    assert wrong == []


def test_the_owner_is_let_through_by_the_same_forms(
    browse: Browse, owner: Person, addresses: dict[str, str]
) -> None:
    """Else the refusals above would say nothing about access."""
    refused = {}
    for name, path in addresses.items():
        if (form := ROUTES[name].post) is not None:
            answer = browse(owner).post(path, form)
            if answer.status_code in (403, 404, 405) or "/account/login/" in answer.headers.get(
                "Location", ""
            ):
                refused[name] = Page(answer).text[-300:]
    assert refused == {}
