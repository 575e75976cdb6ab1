"""What is shown once (keys, links) is made once: the same form sent again, by a reload, makes nothing more."""

from dataclasses import dataclass
from typing import Any

import pytest

from billing.reports.models import ReportLink
from controlplane.accounts.models import ApiKey, Invitation
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]


@dataclass(frozen=True)
class Form:
    """A form at `action` on the page `home`; its answer shows the secret in the element `shown`."""

    home: str
    action: str
    fields: dict[str, Any]
    shown: str
    model: type


FORMS = {
    "link": Form("/tenants/acme/usage/", "/tenants/acme/usage/links/", {"label": "x"}, "issued-link", ReportLink),
    "invitation": Form(
        "/access/", "/access/", {"email": "new@example.com", "role": "viewer"}, "issued-link", Invitation
    ),
    "key": Form("/keys/", "/keys/", {"name": "ci", "scopes": ["tenants:read"]}, "issued-key", ApiKey),
    "rotated key": Form("/keys/", "/keys/{key}/rotate/", {"overlap": "24"}, "issued-key", ApiKey),
}  # fmt: skip


def form_key(page: Page, action: str) -> str:
    """The key that the form at `action` carries: it stands right after the form's tag."""
    at = next(
        number
        for number, (tag, attributes) in enumerate(page.tags)
        if tag == "form" and attributes.get("method") == "post" and attributes.get("action", "") == action
    )
    fields = (found for tag, found in page.tags[at:] if tag == "input" and found.get("name") == "form_key")
    return next(fields)["value"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_reload_makes_no_second_one(owner: Person, browse: Browse, active: Active, form: Form) -> None:
    client = browse(owner)
    action = form.action.format(key=ApiKey.objects.get(name=owner.user.email).pk)
    key = form_key(Page(client.get(form.home)), action if action != form.home else "")
    before = form.model.objects.count()

    made = Page(client.post(action, {**form.fields, "form_key": key}))

    assert made.status == 200
    secret = made.html.split(f'id="{form.shown}">')[1].split("<")[0]
    assert form.model.objects.count() == before + 1
    again = client.post(action, {**form.fields, "form_key": key})
    assert (again.status_code, again.headers["Location"]) == (302, form.home)
    page = Page(client.get(form.home))
    assert "This was shown once" in page.text
    assert secret not in page.html
    assert form.model.objects.count() == before + 1


def test_a_refused_form_may_be_sent_again_with_what_was_missing(owner: Person, browse: Browse) -> None:
    client, before = browse(owner), ApiKey.objects.count()

    refused = Page(client.post("/keys/", {"name": "ci", "form_key": "a"}))

    assert refused.status == 422
    assert ApiKey.objects.count() == before
    made = Page(client.post("/keys/", {"name": "ci", "scopes": ["tenants:read"], "form_key": "a"}))
    assert 'id="issued-key"' in made.html
    assert ApiKey.objects.count() == before + 1
