"""Search: one answer for the palette and the page, and nothing in it that one could not open."""

import pytest

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.search import DEEDS, PLACES
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")


def found(browse: Browse, person: Person, text: str) -> set[str]:
    """Where the page's results lead, which are the palette's too."""
    client = browse(person)
    options = Page(client.get("/search/hits/", {"q": text})).all("a", role="option")
    page = Page(client.get("/search/", {"q": text}))
    shown = {option["href"] for option in options}
    assert shown <= {link["href"] for link in page.all("a", **{"class": "strong"})}
    return shown


def test_tenants_are_found_by_name_and_slug(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    stories.provisioned(owner.principal, "hooli", clock.now())

    assert "/tenants/acme/" in found(browse, owner, "acm")
    assert "/tenants/acme/" in found(browse, owner, " CORPORATION ")
    assert "/tenants/hooli/" not in found(browse, owner, "acm")


def test_a_tenants_tab_is_found_by_its_first_letters(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    assert found(browse, owner, "acme bil") == {"/tenants/acme/billing/"}
    assert found(browse, owner, "acme s") == {"/tenants/acme/snapshots/", "/tenants/acme/settings/"}
    assert found(browse, owner, "nobody bil") == set()


def test_operations_are_found_by_their_id(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    where = f"/operations/{active[1].id}/"

    assert where in found(browse, owner, str(active[1].id))
    assert where in found(browse, owner, str(active[1].id)[-12:])
    assert found(browse, owner, "ffffff-000000") == set()
    assert where not in found(browse, owner, str(active[1].id)[-3:]), "three letters are a word"


def test_pages_and_actions_are_what_one_may_open(owner: Person, teammate: Person, browse: Browse) -> None:
    everything = found(browse, owner, "")
    assert {"/tenants/new/", "/access/", "/audit/", "/keys/", "/preferences/"} <= everything
    seen = found(browse, teammate, "")
    assert {"/tenants/", "/operations/", "/invoices/"} <= seen
    assert not {"/tenants/new/", "/access/", "/audit/", "/keys/"} & seen
    for client, links in ((browse(owner), everything), (browse(teammate), seen)):
        for link in links:
            assert client.get(link).status_code == 200, link
    assert len(everything) == len({place.route for place in (*PLACES, *DEEDS)})


def test_a_stranger_finds_nothing_of_others(
    owner: Person, stranger: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    for text in ("acme", "corporation", "acme bil", str(active[1].id), str(active[1].id)[-12:]):
        assert found(browse, stranger, text) == set()
        fragment = browse(stranger).get("/search/hits/", {"q": text}).content.decode()
        assert "acme" not in fragment.lower()
    assert browse(None).get("/search/?q=acme").status_code == 302
    assert browse(None).get("/search/hits/?q=acme").status_code == 302


def test_somebody_limited_to_other_tenants_does_not_find_it(
    owner: Person, teammate: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    other, _ = stories.provisioned(owner.principal, "hooli", clock.now())
    teammate.user.memberships.update(tenant_ids=[other.pk])

    assert found(browse, teammate, "acme") == set()
    for link in found(browse, teammate, ""):
        assert browse(teammate).get(link).status_code == 200, link
    assert found(browse, teammate, str(active[1].id)) == set()
    assert "/tenants/hooli/" in found(browse, teammate, "hoo")


def test_the_navigation_offers_nobody_a_page_that_is_closed_to_them(
    owner: Person, teammate: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    def offered(person: Person) -> set[str]:
        page = Page(browse(person).get("/tenants/"))
        inside = {link["href"] for link in page.all("a") if link.get("href", "").startswith("/")}
        return {link for link in inside if not link.startswith(("/account/", "/static/"))}

    assert {"/margin/", "/budgets/"} <= offered(owner)
    teammate.user.memberships.update(tenant_ids=[active[0].pk])
    links = offered(teammate)
    assert {"/invoices/", "/usage/"} <= links
    for link in links:
        assert browse(teammate).get(link).status_code == 200, link


def test_the_page_works_by_itself_and_says_when_nothing_matches(
    owner: Person, browse: Browse, django_assert_max_num_queries: object
) -> None:
    client = browse(owner)
    for text in ("", "acme", "no such thing", "abcdef12", '"><script>'):
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            page = Page(client.get("/search/", {"q": text}))
        assert page.status == 200
        assert_clean(page)
        assert_accessible(page)
    assert "Nothing matches no such thing" in Page(client.get("/search/?q=no+such+thing")).text
    assert "Nothing matches." in Page(client.get("/search/hits/?q=no+such+thing")).text


def test_options_have_ids_of_their_own_and_say_how_many(owner: Person, browse: Browse) -> None:
    page = Page(browse(owner).get("/search/hits/"))

    options = page.all("a", role="option")
    assert len({option["id"] for option in options}) == len(options)
    assert [tag["data-said"] for _, tag in page.tags if "data-said" in tag] == [f"{len(options)} results"]
