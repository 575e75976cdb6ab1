"""Several tenants to another plan: what it changes for each, which cannot take it, and what waits for approval."""

from typing import Any

import pytest

from billing.agreements.models import Agreement
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import BulkOutcome, BulkRequest, Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_commands import Lines, taken
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
HERE = "/bulk/tenants/"
SLUGS = ("acme", "euro", "hooli", "pied", "umbrella")


@pytest.fixture
def fleet(owner: Person) -> dict[str, Tenant]:
    """On starter: one as it is, one billed in another currency, one that is on pro already, one that is being made,
    and one with a GPU of its own."""
    found = {
        slug: stories.provisioned(owner.principal, slug, clock.now(), name=slug.title())[0] for slug in SLUGS
    }
    Agreement.objects.filter(tenant_id=found["euro"].pk).update(currency="EUR")
    Tenant.objects.filter(slug="hooli").update(plan="pro")
    Tenant.objects.filter(slug="pied").update(lifecycle="provisioning")
    Tenant.objects.filter(slug="umbrella").update(overrides={"gpu": {"count": 2}})
    return found


def sent(fleet: dict[str, Tenant], plan: str = "pro") -> dict[str, str]:
    return {"tenants": ",".join(str(each.pk) for each in fleet.values()), "verb": "plan", "plan": plan}


def asked() -> dict[str, str]:
    return dict(Operation.objects.filter(kind="update").values_list("tenant__slug", "spec__plan"))


def plans_now() -> dict[str, str]:
    return dict(Tenant.objects.values_list("slug", "plan"))


def row_of(page: Page, name: str) -> str:
    """What stands beside a tenant, up to the next one."""
    after = page.text.split(f"{name.title()} {name} ", 1)[1]
    others = [after.index(f"{slug.title()} {slug} ") for slug in SLUGS if f"{slug.title()} {slug} " in after]
    return after[: min(others, default=len(after))]


def test_the_plan_is_chosen_then_each_tenants_change_is_foretold(
    owner: Person, browse: Browse, fleet: dict[str, Tenant]
) -> None:
    client, before = browse(owner), plans_now()
    ask = Page(client.get(HERE, {"tenants": sent(fleet)["tenants"], "verb": "plan"}))
    assert [found["value"] for found in ask.all("option")] == ["starter", "pro", "enterprise"]
    assert "Pro: $499.00 a month and usage" in ask.text
    assert_clean(ask)
    assert_accessible(ask)

    page = Lines(client.get(HERE, sent(fleet)))

    assert_clean(page)
    assert_accessible(page)
    assert "2 of 5 would take it now" in page.text
    assert "Starter → Pro base fee of the price list $49.00 → $499.00 a month" in row_of(page, "acme")
    assert "gpu.count: 0 → 1" in row_of(page, "acme")
    assert "Starter → Pro" in row_of(page, "umbrella")
    assert "gpu.count" not in row_of(page, "umbrella"), "its own size stays"
    assert "billed in another currency" in row_of(page, "euro")
    assert "is on the plan pro already" in row_of(page, "hooli")
    assert "pied is provisioning" in row_of(page, "pied")
    taken("freehold tenants update acme --plan pro")
    assert "freehold tenants update acme --plan pro" in page.text
    assert (plans_now(), asked(), BulkRequest.objects.count()) == (before, {}, 0), "looking does nothing"


def test_each_is_asked_by_itself_and_once(owner: Person, browse: Browse, fleet: dict[str, Tenant]) -> None:
    client = browse(owner)
    form = {**sent(fleet), "form_key": "k"}

    where = client.post(HERE, form)["Location"]

    assert client.post(HERE, form)["Location"] == where

    assert plans_now() == {
        "acme": "pro",
        "euro": "starter",
        "hooli": "pro",
        "pied": "starter",
        "umbrella": "pro",
    }
    assert Operation.objects.filter(kind="update").count() == 2
    assert dict(BulkOutcome.objects.values_list("tenant__slug", "state")) == {
        "acme": "queued", "euro": "refused", "hooli": "unchanged", "pied": "refused", "umbrella": "queued",
    }  # fmt: skip
    page = Page(client.get(where))
    assert_clean(page)
    assert_accessible(page)
    assert "is priced in USD; the tenant is billed in another currency" in page.text
    assert "was so already" in page.text
    told = AuditEvent.objects.get(action="tenants.bulk_requested").data
    assert told == {"verb": "plan", "plan": "pro", "tenants": 5}


def test_what_the_policy_wants_approved_waits_for_a_person(
    owner: Person, browse: Browse, fleet: dict[str, Tenant]
) -> None:
    client, form = browse(owner), sent({"acme": fleet["acme"]}, "enterprise")
    assert "waits for a person's approval" in Page(client.get(HERE, form)).text

    where = client.post(HERE, form)["Location"]

    operation = Operation.objects.get(kind="update")
    assert operation.approval_rule == "always"
    Operation.objects.filter(pk=operation.pk).update(state="awaiting_approval")
    assert "awaiting approval" in Page(client.get(where)).text


def test_a_plan_that_is_not_there_is_refused(owner: Person, browse: Browse, fleet: dict[str, Tenant]) -> None:
    client = browse(owner)
    for call in (client.get, client.post):
        page = Page(call(HERE, sent(fleet, "gold")))
        assert page.status == 422
        assert "must be one of starter, pro, enterprise" in page.text
    assert (asked(), BulkRequest.objects.count()) == ({}, 0)


def test_a_viewer_changes_no_plan_and_a_stranger_finds_nobody(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, fleet: dict[str, Tenant]
) -> None:
    before = plans_now()

    assert browse(teammate).get(HERE, sent(fleet)).status_code == 403
    assert browse(teammate).post(HERE, sent(fleet)).status_code == 403
    assert browse(stranger).post(HERE, sent(fleet)).status_code == 404
    assert "No tenant is chosen" in Page(browse(stranger).get(HERE, sent(fleet))).text
    assert (plans_now(), asked()) == (before, {})


def test_many_tenants_cost_no_more_queries(
    owner: Person, browse: Browse, fleet: dict[str, Tenant], django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    where = client.post(HERE, sent(fleet))["Location"]
    for path in (where, f"{HERE}?verb=plan&plan=enterprise&tenants={sent(fleet)['tenants']}"):
        with django_assert_max_num_queries(12):
            client.get(path)
