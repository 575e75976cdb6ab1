"""Beyond the pages of operators, in a language whose every known message stands in brackets: what customers, viewers
and strangers read, refused forms, what is said after a change, pages of failure and mails."""

import random
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.utils.translation import override, trans_real

from controlplane.accounts.invitations import invitation_accept
from controlplane.core import clock, failures
from controlplane.core.outbound.delivery import outbox_deliver
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse
from tests.portal.test_language import GERMAN, Pseudo, unmarked
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")

Active = tuple[Tenant, Operation]
ABSENT = "00000000-0000-7000-8000-000000000000"
OPERATORS = (
    "/preferences/",
    "/views/",
    "/views/?list=tenants&query=lifecycle%3Dactive",
    "/search/",
    "/search/?q=acme",
    "/search/?q=nothing-like-it",
    "/search/hits/?q=acme",
    "/tenants/?lifecycle=active",
    "/tenants/acme/customers/",
    "/tenants/acme/start/",
    f"/tenants/acme/runs/{ABSENT}/{ABSENT}/",
)
#: address -> a form that is refused
REFUSED: dict[str, dict[str, str]] = {
    "/keys/": {"name": "", "scopes": "tenants:read"},
    "/access/": {"email": "nobody", "role": "viewer"},
    "/budgets/new/": {"name": "", "amount": "much"},
    "/tenants/acme/budgets/new/": {"name": "", "amount": "-1"},
    "/tenants/new/": {"name": "", "slug": "Not a slug", "plan": "none", "target": "local"},
    "/tenants/acme/credits/": {"name": "", "amount": "x", "source": "promotion", "priority": "900"},
    "/tenants/acme/customers/": {"email": "nobody"},
    "/tenants/acme/delete/": {"confirm": "another"},
    "/tenants/acme/usage/schedules/": {"cadence": "never", "format": "doc", "emails": "x"},
    "/preferences/": {"time_zone": "Mars/Base"},
    "/views/": {"list": "tenants", "query": "q=a", "name": ""},
    "/bulk/tenants/": {"verb": "refresh"},
}
#: address -> a form that is accepted; the page it leads to says what was done
ACCEPTED: dict[str, dict[str, str]] = {
    "/keys/": {"name": "another", "scopes": "tenants:read"},
    "/access/": {"email": "ada@example.com", "role": "viewer"},
    "/preferences/": {"time_zone": "Asia/Tokyo"},
    "/views/": {"list": "tenants", "query": "lifecycle=active", "name": "Acme Corporation"},
    "/tenants/acme/protection/": {"deletion_protection": "on"},
    "/tenants/acme/operate/update/": {},
    "/tenants/acme/usage/links/": {"label": "x"},
    "/audit/verify/": {},
}


@pytest.fixture(autouse=True)
def pseudo(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setitem(trans_real._translations, "de", Pseudo())


def left_in(client: Client, paths: Any, forms: dict[str, dict[str, str]] | None = None) -> dict[str, Any]:
    """The texts that nobody marked, by address. A form's answer is followed to the page it leads to."""
    left: dict[str, Any] = {}
    for path in paths:
        if forms is None:
            answer = client.get(path, headers=GERMAN)
        else:
            answer = client.post(path, forms[path], headers=GERMAN, follow=True)
        html = answer.content.decode()
        assert "⟦" in html, (path, answer.status_code)
        if found := unmarked(html):
            left[f"{path} {answer.status_code}"] = found
    return left


def told(left: dict[str, Any]) -> str:
    return "\n".join(f"{path}: {found}" for path, found in left.items())


def test_pages_beside_the_lists(owner: Person, browse: Browse, active: Active) -> None:
    stories.failed(owner.principal, "hooli", clock.now())
    client = browse(owner)
    view = {"list": "tenants", "query": "q=a", "name": "Acme Corporation", "shared": "on"}
    client.post("/views/", view, headers=GERMAN)
    bulk = f"/bulk/tenants/?verb=refresh&tenant={active[0].pk}"
    done = client.post("/bulk/tenants/", {"verb": "refresh", "tenants": str(active[0].pk)})
    review = client.post(
        "/tenants/new/",
        {"name": "Acme Corporation", "slug": "newco", "plan": "pro", "target": "local", "step": "review"},
    )
    invoice = owner.api().post("/invoices", {"tenant": "acme", "period": f"{clock.now():%Y-%m}"}).json()
    line = f"/invoices/{invoice['id']}/lines/{invoice['lines'][0]['id']}/"
    left = left_in(client, (*OPERATORS, bulk, done.headers["Location"], review.headers["Location"], line))
    assert left == {}, told(left)


def test_forms_that_are_refused(owner: Person, browse: Browse, active: Active) -> None:
    left = left_in(browse(owner), REFUSED, REFUSED)
    assert left == {}, told(left)


def test_what_is_said_after_a_change(owner: Person, browse: Browse, active: Active) -> None:
    left = left_in(browse(owner), ACCEPTED, ACCEPTED)
    assert left == {}, told(left)


def test_what_a_role_may_not_do_and_what_is_another_teams(
    teammate: Person, stranger: Person, browse: Browse, active: Active
) -> None:
    shut = (
        "/keys/",
        "/access/",
        "/audit/",
        "/tenants/new/",
        "/tenants/acme/settings/",
        "/tenants/acme/playground/",
    )
    left = left_in(browse(teammate), shut)
    left |= left_in(
        browse(teammate), ["/tenants/acme/operate/update/"], {"/tenants/acme/operate/update/": {}}
    )
    left |= left_in(browse(stranger), ("/tenants/acme/", "/", "/tenants/", "/usage/", "/keys/", "/views/"))
    assert left == {}, told(left)


def test_what_customers_see(owner: Person, active: Active) -> None:
    issued = stories.invoiced(active[0])
    shared = urlsplit(owner.api().post("/tenants/acme/report-links", {"scope": "all"}).json()["url"]).path
    by_link = [shared.replace("usage", each) for each in ("usage", "invoices", "health", "agents")]
    left = left_in(Client(), [*by_link, f"{by_link[1]}{issued.pk}/", "/shared/usage/nothing/"])

    wanted = {"email": "carla@acme.example", "role": "customer", "tenants": ["acme"]}
    token = owner.api().post("/invitations", wanted).json()["url"].split("/")[-2]
    carla = Client()
    carla.force_login(invitation_accept(token=token, name="Carla", password=PASSWORD, now=clock.now()))
    own = [f"/customer/{each}/" for each in ("usage", "invoices", "health", "agents")]
    left |= left_in(carla, [*own, f"/customer/invoices/{issued.pk}/", "/tenants/", "/preferences/"])
    assert left == {}, told(left)


def test_doors(owner: Person, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    wanted = {"email": "grace@example.com", "role": "viewer"}
    invited = urlsplit(owner.api().post("/invitations", wanted).json()["url"]).path
    doors = (
        "/account/login/",
        "/account/password/",
        "/account/password/sent/",
        "/account/password/a/b/",
        invited,
    )
    left = left_in(Client(), [*doors, "/join/nothing/", "/nowhere/"])
    forms = {
        "/account/login/": {"login": owner.user.email, "password": "wrong"},
        "/account/password/": {"email": "nobody"},
        invited: {"name": "Grace", "password": "short", "again": "short"},
    }
    left |= left_in(Client(), forms, forms)
    forms = {invited: {"name": "Grace", "password": PASSWORD, "again": "another"}}
    left |= left_in(Client(), forms, forms)
    assert left == {}, told(left)


def test_pages_of_failure() -> None:
    left = {}
    error = Exception()
    with override("de"):
        for answer in (
            failures.not_found(RequestFactory().get("/x/"), error),
            failures.permission_denied(RequestFactory().get("/x/"), error),
            failures.bad_request(RequestFactory().get("/x/"), error),
            failures.server_error(RequestFactory().get("/x/")),
            failures.csrf_failure(RequestFactory().get("/x/")),
        ):
            assert "⟦" in answer.content.decode()
            if found := unmarked(answer.content.decode()):
                left[str(answer.status_code)] = found
    assert left == {}, told(left)


def test_mails(owner: Person, browse: Browse) -> None:
    """They go out in the language of whoever asked for them."""
    browse(owner).post("/access/", {"email": "grace@example.com", "role": "viewer"}, headers=GERMAN)
    Client().post("/account/password/", {"email": owner.user.email}, headers=GERMAN)
    outbox_deliver(clock_now=clock.now, roll=random.random)
    assert len(mail.outbox) == 2
    for message in mail.outbox:
        assert unmarked(f"<p>{message.subject}</p><p>{message.body}</p>") == [], message.body
