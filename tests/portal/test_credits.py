"""A tenant's credits: given once with a reason, taken back, every movement shown; who may."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.ledger.grants import credit_balances
from billing.ledger.models import CreditGrant, JournalTransaction
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
HOME = "/tenants/acme/credits/"
FORM = {
    "amount": "1,250.50",
    "name": "Prepaid 2026",
    "source": "purchase",
    "priority": "20",
    "reason": "Order 4711, paid by wire",
}


@pytest.fixture
def grant(owner: Person, browse: Browse, active: Active) -> CreditGrant:
    client = browse(owner)
    form_key = Page(client.get(HOME)).value("form_key")
    assert client.post(HOME, {**FORM, "form_key": form_key}).headers["Location"] == HOME
    return CreditGrant.objects.get()


def test_without_credits_the_page_says_what_they_are(owner: Person, browse: Browse, active: Active) -> None:
    page = Page(browse(owner).get(HOME))

    assert "No credits yet" in page.text
    assert "freehold credits add acme 250" in page.text
    assert page.all("a", href="/tenants/acme/billing/", aria_current="page")
    assert_clean(page)
    assert_accessible(page)
    assert Page(browse(owner).get("/tenants/acme/billing/")).all("a", href=HOME)


def test_a_credit_is_given_posted_and_shown_with_its_reason(
    owner: Person, browse: Browse, grant: CreditGrant
) -> None:
    assert (grant.amount, grant.currency, grant.priority) == (Decimal("1250.50"), "USD", 20)
    posted = JournalTransaction.objects.get(kind="credit_grant")
    assert posted.data == {"reason": "Order 4711, paid by wire"}
    assert AuditEvent.objects.get(action="credit.granted").data["reason"] == "Order 4711, paid by wire"

    page = Page(browse(owner).get(HOME))
    for said in (
        "Can be used now, USD",
        "$1,250.50",
        "+$1,250.50",
        "Credit granted: Prepaid 2026",
        "Order 4711",
    ):
        assert said in page.text, said
    assert_clean(page)
    assert_accessible(page)


def test_the_same_form_sent_twice_gives_once(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    form = {**FORM, "form_key": Page(client.get(HOME)).value("form_key")}

    assert [client.post(HOME, form).status_code for _ in range(3)] == [302, 302, 302]
    assert CreditGrant.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"amount": "NaN"}, "must be a number above 0"),
        ({"amount": "-5"}, "must be a number above 0"),
        ({"amount": "1e30"}, "must be a number above 0"),
        ({"amount": "0.001"}, "must be positive, in whole 0.01 USD"),
        ({"name": " "}, "is needed: what the customer reads"),
        ({"reason": ""}, "is needed: why, for the audit log"),
        ({"priority": "-1"}, "must be 0 to 100"),
        ({"priority": "101"}, "must be 0 to 100"),
        ({"source": "theft"}, "must be one of purchase, promotion"),
        ({"expires_on": "soon"}, "must be a day as YYYY-MM-DD"),
        ({"expires_on": "2020-01-01"}, "must lie after effective_at and in the future"),
    ],
)
def test_a_wrong_field_is_named_and_what_was_typed_stays(
    owner: Person, browse: Browse, active: Active, fields: dict[str, str], said: str
) -> None:
    page = Page(browse(owner).post(HOME, {**FORM, "form_key": "k", **fields}))

    assert page.status == 422
    assert said in page.text
    kept = {**FORM, **fields}
    assert page.value("name") == kept["name"].strip()
    assert page.value("amount") == kept["amount"]
    assert CreditGrant.objects.count() == 0
    assert_clean(page)
    assert_accessible(page)


def test_a_gift_for_later_waits_until_its_day(owner: Person, browse: Browse, active: Active) -> None:
    now = clock.now()
    days = {
        "effective_on": f"{now + timedelta(days=3):%Y-%m-%d}",
        "expires_on": f"{now + timedelta(days=9):%Y-%m-%d}",
    }
    client = browse(owner)
    client.post(HOME, {**FORM, **days, "source": "promotion", "form_key": "k"})

    grant = CreditGrant.objects.get()
    assert (f"{grant.effective_at:%Y-%m-%d %H:%M}", grant.source) == (
        f"{days['effective_on']} 00:00",
        "promotion",
    )
    page = Page(client.get(HOME))
    assert "scheduled" in page.text
    assert "Can be used now $0.00" in page.text


def test_what_is_left_is_taken_back_once(owner: Person, browse: Browse, grant: CreditGrant) -> None:
    client = browse(owner)
    assert client.post(f"{HOME}{grant.pk}/void/").headers["Location"] == HOME
    assert credit_balances(tenant_id=grant.tenant_id, at=clock.now()) == {}
    page = Page(client.get(HOME))
    assert "voided" in page.text
    assert "-$1,250.50" in page.text
    assert page.all("form", action=f"{HOME}{grant.pk}/void/") == []

    client.post(f"{HOME}{grant.pk}/void/")
    assert "has expired or was voided already" in Page(client.get(HOME)).text


def test_a_viewer_looks_and_gives_nothing_and_a_stranger_finds_nothing(
    owner: Person, stranger: Person, browse: Browse, grant: CreditGrant
) -> None:
    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))
    page = Page(viewer.get(HOME))
    assert "Prepaid 2026" in page.text
    assert [found["action"] for found in page.all("form", method="post")] == ["/account/logout/"]
    assert viewer.post(HOME, FORM).status_code == 403
    assert viewer.post(f"{HOME}{grant.pk}/void/").status_code == 403

    outsider = browse(stranger)
    assert outsider.get(HOME).status_code == 404
    assert outsider.post(HOME, FORM).status_code == 404
    assert outsider.post(f"{HOME}{grant.pk}/void/").status_code == 404
    assert list(CreditGrant.objects.values_list("voided_at", flat=True)) == [None]

    finance = browse(person_make("money@example.com", owner.team, roles.FINANCE))
    assert finance.post(HOME, {**FORM, "form_key": "f"}).status_code == 302


def test_the_page_costs_few_queries(
    owner: Person, browse: Browse, grant: CreditGrant, django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    client.get(HOME)
    with django_assert_max_num_queries(12):
        client.get(HOME)
