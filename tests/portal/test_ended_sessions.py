"""A form that comes when the session has ended, or with the token of an earlier one: nothing is done, nothing is
lost without a word, and the way leads back to the form's own page."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
HERE = "http://testserver"


@pytest.mark.parametrize(
    ("sent_from", "leads_to"),
    [
        (f"{HERE}/tenants/acme/settings/?x=1", "/tenants/acme/settings/?x=1"),
        # A refused form is shown under the address it was sent to, which takes forms alone.
        (f"{HERE}/tenants/acme/delete/", "/"),
        (f"{HERE}/account/login/", "/"),
        (f"{HERE}/nothing/here/", "/"),
        ("https://evil.example/tenants/acme/settings/", "/"),
        ("", "/"),
    ],
)
def test_a_form_without_a_session_leads_back_to_its_page(
    browse: Browse, active: tuple[Tenant, Operation], sent_from: str, leads_to: str
) -> None:
    headers = {"referer": sent_from} if sent_from else {}
    answer = browse(None).post("/tenants/acme/protection/", {}, headers=headers)

    assert answer.status_code == 302
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert asked == {"next": [leads_to], "ended": ["1"]}


def test_the_sign_in_says_that_nothing_was_sent_and_leads_back(
    owner: Person, active: tuple[Tenant, Operation]
) -> None:
    client = Client()
    settings = f"{HERE}/tenants/acme/settings/"
    door = client.post("/tenants/acme/protection/", {}, headers={"referer": settings}).headers["Location"]

    assert "nothing was sent" in Page(client.get(door)).text
    answer = client.post(
        "/account/login/",
        {"login": owner.user.email, "password": PASSWORD, "next": "/tenants/acme/settings/"},
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/tenants/acme/settings/")
    assert "nothing was sent" not in Page(client.get("/account/login/", follow=True)).text


def test_a_form_of_an_earlier_session_has_a_way_back(owner: Person, active: tuple[Tenant, Operation]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)

    page = Page(
        client.post("/tenants/acme/protection/", {}, headers={"referer": f"{HERE}/tenants/acme/settings/"})
    )
    elsewhere = Page(
        client.post("/tenants/acme/protection/", {}, headers={"referer": "https://evil.example/x/"})
    )

    assert (page.status, elsewhere.status) == (403, 403)
    assert page.all("a", href="/tenants/acme/settings/")
    assert "You signed in anew since it was opened" in page.text
    assert "Back to the form" not in elsewhere.text


def test_an_address_that_takes_forms_alone_says_so(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).get("/tenants/acme/delete/"))

    assert page.status == 404
    assert "Go back and use the form" in page.text
