"""A tenant's own people who sign in: their pages, and every other address of the portal and the API shut."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from controlplane.accounts.models import Invitation, Membership, User
from controlplane.accounts.selectors import customer_of_user, principal_of_user
from controlplane.api.models import IdempotencyRecord
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_access import facts
from tests.portal.test_commands import Lines, taken
from tests.portal.test_customer import INTERNAL
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import PASSWORD, Person

Active = tuple[Tenant, Operation]
TAB = "/tenants/acme/customers/"
PAGES = ("usage", "invoices", "health", "agents")
#: Addresses that let anybody in, or nobody: signing in and out, links, what a balancer asks, and the API's description
#: for programs without a session.
OPEN = re.compile(
    r"^/(account/|join/|shared/|customer/|healthz|readyz|metrics|static/|api/schema/|api/docs/)"
)
SOMETHING = "00000000-0000-7000-8000-000000000000"
VALUES = {
    "slug": "acme",
    "token": "x",
    "verb": "update",
    "form": "csv",
    "suffix": "pdf",
    "meter": "agent_runs",
}


@pytest.fixture
def inside(customer: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(customer)
    return client


def test_a_customer_is_no_principal(customer: User, active: Active, owner: Person) -> None:
    found = customer_of_user(user=customer)
    assert found is not None
    assert (found.team_id, found.tenant_id) == (owner.team.pk, active[0].pk)
    assert principal_of_user(user=customer) is None
    assert customer_of_user(user=owner.user) is None
    Membership.objects.filter(user=customer).update(tenant_ids=None)
    assert customer_of_user(user=customer) is None, "a customer of everything is nobody"


def test_they_land_on_their_pages_and_see_their_tenant_alone(
    inside: Client, owner: Person, active: Active
) -> None:
    other, _ = stories.provisioned(owner.principal, "globex", clock.now(), name="Globex Corporation")
    theirs, own = stories.invoiced(other), stories.invoiced(active[0])
    assert inside.get("/").headers["Location"] == "/customer/usage/"
    for page in PAGES:
        answer = inside.get(f"/customer/{page}/")
        shown = Page(answer)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert_clean(shown)
        assert_accessible(shown)
        assert "Acme Corporation" in shown.text
        assert "lobex" not in shown.html
        assert not [word for word in INTERNAL if word in shown.html]
        assert {a["href"] for a in shown.all("a", aria_current="true")} >= {f"/customer/{page}/"}
        assert [form["action"] for form in shown.all("form", method="post")] == ["/account/logout/"]
    for end in ("/", ".pdf"):
        assert inside.get(f"/customer/invoices/{own.pk}{end}").status_code == 200
        assert inside.get(f"/customer/invoices/{theirs.pk}{end}").status_code == 404
    for kind in ("csv", "pdf"):
        assert inside.get(f"/customer/usage/usage.{kind}").status_code == 200


def test_what_is_not_theirs_names_their_pages_and_no_way_into_the_portal(
    inside: Client, active: Active
) -> None:
    for path in ("/tenants/acme/", "/customer/invoices/00000000-0000-7000-8000-000000000000/"):
        page = Page(inside.get(path))
        assert page.status == 404
        assert not page.all("a", href="/tenants/")
        assert not page.all("a", href="/operations/")
        assert "freehold tenants" not in page.text
    assert "/customer/usage/" in Page(inside.get("/tenants/acme/")).text


def paths(patterns: list[Any], before: str = "/") -> Iterator[str]:
    """Every address of the installation, its variables filled in: those of ids with nobody's."""
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from paths(each.url_patterns, before + str(each.pattern))
        elif isinstance(each, URLPattern):
            whole = before + str(each.pattern)
            yield re.sub(r"<(?:(\w+):)?(\w+)>", _value, whole)


def _value(found: re.Match[str]) -> str:
    return SOMETHING if found[1] == "uuid" else VALUES.get(found[2], "x")


def test_every_other_address_is_shut(
    inside: Client, active: Active, owner: Person, django_assert_max_num_queries: Any
) -> None:
    """Also with the ids of what there is: nobody's would be not found anyway."""
    operation = str(active[1].pk)
    everything = [path for path in paths(get_resolver().url_patterns) if not OPEN.match(path)]
    assert len(everything) > 120
    before, kept = facts(), AuditEvent.objects.count()
    opened = []
    for path in everything:
        for address in {path, path.replace(SOMETHING, operation)}:
            for method in ("get", "post", "patch", "delete"):
                status = getattr(inside, method)(address).status_code
                # The front door leads to their own pages; 405 is a verb that nobody has there.
                if status not in (403, 404, 405) and (address, method) != ("/", "get"):
                    opened.append((method, address, status))
    assert not opened, "\n".join(map(str, opened))
    assert facts() == before
    assert AuditEvent.objects.count() == kept
    assert not IdempotencyRecord.objects.filter(actor__contains="carla").exists()


def test_every_path_of_the_api_document_is_shut(inside: Client, active: Active) -> None:
    document = yaml.safe_load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text())
    opened = []
    for path, verbs in document["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], SOMETHING), path)
        for method in verbs:
            if method in ("get", "post", "patch", "put", "delete"):
                answer = getattr(inside, method)(address, content_type="application/json")
                if answer.status_code not in (403, 404):
                    opened.append((method, address, answer.status_code))
    assert not opened, "\n".join(map(str, opened))


def test_taking_them_off_holds_from_the_next_request_on(
    inside: Client, owner: Person, browse: Browse, customer: User
) -> None:
    assert inside.get("/customer/usage/").status_code == 200
    browse(owner).post(f"/access/members/{customer.pk}/remove/")
    assert inside.get("/customer/usage/").status_code == 404
    assert inside.get("/").status_code == 403


def test_visitors_sign_in_and_operators_find_nothing_there(
    browse: Browse, owner: Person, teammate: Person, stranger: Person, active: Active
) -> None:
    for page in PAGES:
        away = browse(None).get(f"/customer/{page}/")
        assert away.headers["Location"].startswith("/account/login/")
        for person in (owner, teammate, stranger):
            assert browse(person).get(f"/customer/{page}/").status_code == 404


def test_an_owner_invites_them_from_the_tenants_settings(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, active: Active
) -> None:
    form = {"email": "carla@acme.example"}
    for method in ("get", "post"):
        assert getattr(browse(teammate), method)(TAB, form).status_code == 403
        assert getattr(browse(stranger), method)(TAB, form).status_code == 404
    assert not Invitation.objects.exists()

    client = browse(owner)
    assert Page(client.get("/tenants/acme/settings/")).all("a", href=TAB)
    empty = Lines(client.get(TAB))
    assert_clean(empty)
    assert_accessible(empty)
    for line in empty.commands:
        taken(line)
    made = client.post(TAB, {**form, "form_key": empty.value("form_key") + "-invite"})
    page = Page(made)
    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    token = re.findall(r"/join/([^/]+)/", page.html)[0]
    again = client.post(TAB, {**form, "form_key": empty.value("form_key") + "-invite"})
    assert again.status_code == 302
    assert token not in Page(client.get(TAB)).html
    assert Invitation.objects.count() == 1

    new = Client()
    door = Page(new.get(f"/join/{token}/"))
    assert_clean(door)
    joined = new.post(
        f"/join/{token}/", {"name": "Carla", "password": PASSWORD, "again": PASSWORD}, follow=True
    )
    assert joined.redirect_chain[-1][0] == "/customer/usage/"
    assert "Acme Corporation" in Page(joined).text
    assert "carla@acme.example" in Page(client.get(TAB)).text


@pytest.mark.parametrize("email", ["", "nobody", "tom@example.com"])
def test_a_wrong_address_is_said_beside_the_field(
    owner: Person, teammate: Person, browse: Browse, active: Active, email: str
) -> None:
    page = Page(browse(owner).post(TAB, {"email": email, "form_key": "k"}))
    assert page.status in (409, 422)
    assert_accessible(page)
    assert page.all("input", name="email", aria_invalid="true", value=email)
    assert not Invitation.objects.exists()


def test_a_customer_is_bound_to_exactly_one_tenant(owner: Person, active: Active) -> None:
    def invited(**body: Any) -> Any:
        return owner.api().post("/invitations", {"email": "c@example.com", "role": "customer", **body})

    assert invited().status_code == 422
    stories.provisioned(owner.principal, "globex", clock.now())
    assert invited(tenants=["acme", "globex"]).status_code == 422
    assert invited(tenants=["acme"]).status_code == 201
