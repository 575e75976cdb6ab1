"""The three people: the owner acts, the viewer reads, the stranger finds nothing."""

import pytest

from billing.budgets.models import Budget
from billing.ledger.models import CreditGrant
from billing.reports.models import ReportLink, ReportSchedule
from controlplane.accounts.models import ApiKey
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import TENANT_PAGES, assert_clean
from tests.support.people import Person

NOBODYS = "00000000-0000-4000-8000-000000000000"
TENANT_POSTS = {
    "protection/": {"deletion_protection": "on"},
    "credentials/": {"name": "x"},
    "start/": {"name": "x"},
    "delete/": {"confirm": "acme"},
    "operate/update/": {},
    "operate/preview/": {},
    "operate/refresh/": {},
    "operate/suspend/": {"confirm": "on"},
    "operate/resume/": {},
    "operate/rotate-credentials/": {},
    "operate/upgrade/": {},
    "snapshots/take/": {},
    "playground/say/": {"agent": "speaking", "text": "hello"},
    "playground/stop/": {"thread": NOBODYS, "run": NOBODYS},
    f"runs/{NOBODYS}/{NOBODYS}/content/": {},
    "budgets/new/": {"name": "Platform", "amount": "5"},
    "credits/": {"name": "Gift", "amount": "5", "reason": "x", "source": "promotion", "priority": "50"},
    "usage/schedules/": {"cadence": "weekly", "format": "pdf", "emails": "a@example.com"},
    "usage/links/": {"label": "x"},
    "snapshots/00000000-0000-7000-8000-000000000000/restore/": {"confirm": "acme"},
    "snapshots/00000000-0000-7000-8000-000000000000/delete/": {},
}
OPERATION_VERBS = ("approve", "reject", "cancel", "retry")


def facts() -> object:
    """Everything an action of this room could change."""
    return (
        list(Operation.objects.order_by("pk").values("pk", "state", "attempt", "cancel_requested_at")),
        list(Tenant.objects.order_by("pk").values("pk", "deletion_protection", "lifecycle")),
        list(ApiKey.objects.order_by("pk").values("pk", "revoked_at")),
        *(model.objects.count() for model in (Budget, CreditGrant, ReportSchedule, ReportLink)),
    )


@pytest.mark.parametrize("tab", TENANT_PAGES)
def test_a_stranger_finds_no_tenant(
    stranger: Person, browse: Browse, active: tuple[Tenant, Operation], tab: str
) -> None:
    page = Page(browse(stranger).get(f"/tenants/acme/{tab}"))

    assert page.status == 404
    assert "Acme Corporation" not in page.html
    assert "There is no such tenant" in page.text
    assert "freehold tenants list" in page.text
    assert_clean(page)


def test_a_stranger_finds_no_operation(
    stranger: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    for path in ("", "live/"):
        assert browse(stranger).get(f"/operations/{active[1].id}/{path}").status_code == 404


def test_a_strangers_lists_are_empty(
    stranger: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    for path in ("/tenants/", "/operations/", "/keys/", "/tenants/?q=acme"):
        assert "acme" not in Page(browse(stranger).get(path)).text.lower().replace("create acme", "").replace(
            'value="acme"', ""
        )


@pytest.mark.parametrize(("path", "body"), TENANT_POSTS.items())
def test_only_those_who_may_write_change_a_tenant(
    teammate: Person,
    stranger: Person,
    browse: Browse,
    active: tuple[Tenant, Operation],
    path: str,
    body: dict[str, str],
) -> None:
    before = facts()

    viewer = Page(browse(teammate).post(f"/tenants/acme/{path}", body))
    unknown = Page(browse(stranger).post(f"/tenants/acme/{path}", body))

    assert viewer.status == 403
    assert "Your role or key does not allow this" in viewer.text
    assert_clean(viewer)
    assert unknown.status == 404
    assert facts() == before


@pytest.mark.parametrize("verb", OPERATION_VERBS)
def test_only_those_who_may_operate_decide_on_operations(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, verb: str
) -> None:
    waiting = stories.awaiting_approval(owner.principal, "umbrella", clock.now())[1]
    failed = stories.failed(owner.principal, "hooli", clock.now())[1]
    before = facts()

    for operation in (waiting, failed):
        assert browse(teammate).post(f"/operations/{operation.id}/{verb}/").status_code == 403
        assert browse(stranger).post(f"/operations/{operation.id}/{verb}/").status_code == 404
    assert facts() == before


def test_a_viewer_sees_everything_and_is_offered_nothing(
    owner: Person, teammate: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    waiting = stories.awaiting_approval(owner.principal, "umbrella", clock.now())[1]
    client = browse(teammate)

    for path in (
        "/tenants/",
        *(f"/tenants/acme/{tab}" for tab in TENANT_PAGES),
        f"/operations/{waiting.id}/",
    ):
        page = Page(client.get(path))
        assert page.status == 200
        posts = [found["action"] for found in page.all("form", method="post")]
        assert posts == ["/account/logout/"], path
        assert not page.all("a", href="/tenants/new/")
        assert not page.all("a", href="/keys/")
    assert "Your role cannot approve" in Page(client.get(f"/operations/{waiting.id}/")).text


def test_a_viewer_may_not_onboard_nor_see_keys(teammate: Person, browse: Browse) -> None:
    body = {"slug": "acme", "name": "Acme", "plan": "starter", "target": "local"}

    assert browse(teammate).get("/tenants/new/").status_code == 403
    assert browse(teammate).post("/tenants/new/", body).status_code == 403
    assert browse(teammate).get("/keys/").status_code == 403
    assert Tenant.objects.count() == 0


def test_a_stranger_cannot_revoke_a_key(owner: Person, stranger: Person, browse: Browse) -> None:
    key = ApiKey.objects.get(name=owner.user.email)

    assert browse(stranger).post(f"/keys/{key.id}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_visitor_changes_nothing(browse: Browse, active: tuple[Tenant, Operation]) -> None:
    before = facts()
    for path, body in TENANT_POSTS.items():
        assert browse(None).post(f"/tenants/acme/{path}", body).status_code == 302
    assert facts() == before


def test_forms_need_the_csrf_token(owner: Person, active: tuple[Tenant, Operation]) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)
    before = facts()

    page = Page(client.post("/tenants/acme/delete/", {"confirm": "acme"}))

    assert page.status == 403
    assert "too old or came from elsewhere" in page.text
    assert facts() == before


def test_someone_without_a_team_is_told_so(owner: Person, browse: Browse) -> None:
    owner.user.memberships.all().delete()

    page = Page(browse(owner).get("/tenants/"))

    assert page.status == 403
    assert "You belong to no team yet" in page.text
