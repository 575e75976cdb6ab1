"""Name, labels and plan of a tenant, changed after its onboarding."""

import pytest

from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
PATH = "/tenants/acme/details/"


def test_name_and_labels_change_at_once(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    form = {"name": " Acme & Sons ", "labels": "tier = gold\n\nteam=sales=emea\n", "plan": "starter"}

    page = Page(client.post(PATH, form, follow=True))

    tenant = Tenant.objects.get(slug="acme")
    assert (tenant.name, tenant.labels) == ("Acme & Sons", {"tier": "gold", "team": "sales=emea"})
    assert "acme is changed." in page.text
    assert "team=sales=emea tier=gold" in page.text
    assert AuditEvent.objects.filter(action="tenant.updated").count() == 1
    # The same again leaves no trace.
    assert "Nothing was different" in Page(client.post(PATH, form, follow=True)).text
    assert AuditEvent.objects.filter(action="tenant.updated").count() == 1


def test_another_plan_queues_an_operation(owner: Person, browse: Browse, active: Active) -> None:
    answer = browse(owner).post(PATH, {"plan": "pro"})

    operation = Operation.objects.get(tenant__slug="acme", kind="update")
    assert answer.headers["Location"] == f"/operations/{operation.pk}/"
    tenant = Tenant.objects.get(slug="acme")
    assert (tenant.plan, tenant.name) == ("pro", "Acme Corporation")


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"name": " "}, "details-name", "must be 1 to 200 printable characters"),
        ({"labels": "sales"}, "details-labels", "a label is a line such as team=sales"),
        ({"labels": "a=1\na=2"}, "details-labels", "each key is there once"),
        ({"labels": "A B=1"}, "details-labels", "is not a valid label"),
        ({"plan": "platinum"}, "details-plan", "must be one of starter, pro, enterprise"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(
    owner: Person, browse: Browse, active: Active, form: dict[str, str], field: str, said: str
) -> None:
    page = Page(browse(owner).post(PATH, {"name": "Kept Name", **form}))

    assert page.status == 422
    tags = ("input", "select", "textarea")
    assert any(
        page.all(tag, id=field, aria_invalid="true", aria_describedby=f"{field}-error") for tag in tags
    )
    assert said in page.text
    if "name" not in form:
        assert page.all("input", id="details-name", value="Kept Name")
    assert Tenant.objects.get(slug="acme").name == "Acme Corporation"


def test_what_changed_meanwhile_is_not_written_over(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    etag = Page(client.get("/tenants/acme/settings/")).all("input", name="etag")[0]["value"]
    assert client.post(PATH, {"name": "First", "etag": etag}).status_code == 302

    page = Page(client.post(PATH, {"name": "Second", "etag": etag}))

    assert (page.status, Tenant.objects.get(slug="acme").name) == (412, "First")
    assert "The tenant changed since it was read." in page.text
    # Having read that, one may save it all the same.
    fresh = page.all("input", name="etag")[0]["value"]
    assert client.post(PATH, {"name": "Second", "etag": fresh}).status_code == 302


def test_a_plan_waits_for_the_operation_before_it(owner: Person, browse: Browse, acme: Active) -> None:
    client = browse(owner)
    page = Page(client.get("/tenants/acme/settings/"))
    assert page.all("select", id="details-plan", disabled="")

    refused = Page(client.post(PATH, {"plan": "pro"}))
    assert refused.status == 409
    assert Tenant.objects.get(slug="acme").plan == "starter"
    assert client.post(PATH, {"name": "Renamed"}).status_code == 302
