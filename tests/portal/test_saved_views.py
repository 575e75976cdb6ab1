"""Saved views of lists: links above a table, each somebody's own, or the team's."""

import pytest

from controlplane.accounts import roles, saved_views
from controlplane.accounts.models import SavedView
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell", "active")
FORM = {"list": "tenants", "query": "lifecycle=active&sort=name", "name": "Alive"}


def links(page: Page) -> list[str]:
    return [
        found["href"] for found in page.all("a") if found.get("href", "").startswith(("/tenants/?", "/ope"))
    ]


def test_a_view_is_saved_from_the_list_and_found_above_it(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    here = Page(client.get("/tenants/?sort=name&page=1&lifecycle=active&next=evil"))
    save = next(found["href"] for found in here.all("a") if found["href"].startswith("/views/?list="))
    form = Page(client.get(save))
    assert form.value("query") == "lifecycle=active&sort=name"
    assert "lifecycle: active" in form.text
    assert_clean(form)
    assert_accessible(form)

    sent = {name: form.value(name) for name in ("list", "query", "form_key")}
    answers = [client.post("/views/", {**sent, "name": " Alive "}) for _ in range(2)]

    assert [answer["Location"] for answer in answers] == ["/tenants/?lifecycle=active&sort=name"] * 2
    view = SavedView.objects.get()
    assert (view.name, view.user, view.shared) == ("Alive", owner.user, False)
    back = Page(client.get(answers[0]["Location"]))
    current = [found.get("aria-current") for found in back.all("a", href=answers[0]["Location"])]
    assert current == ["true"]
    assert "Save this view" not in back.text, "it is saved already"
    assert AuditEvent.objects.get(action="saved_view.created").data == {
        "list": "tenants",
        "name": "Alive",
        "shared": False,
    }


def test_a_list_as_it_comes_is_no_view(owner: Person, browse: Browse) -> None:
    assert "Save this view" not in Page(browse(owner).get("/tenants/?page=1")).text
    assert "Save this view" in Page(browse(owner).get("/operations/?state=failed")).text
    assert SavedView.objects.count() == 0
    assert not Page(browse(owner).get("/views/?list=tenants")).all("input", name="name")
    assert browse(owner).get("/views/?list=invoices&q=1").status_code == 200


def test_who_sees_and_deletes_a_view(
    owner: Person, teammate: Person, stranger: Person, browse: Browse
) -> None:
    client = browse(teammate)
    client.post("/views/", FORM)
    client.post("/views/", {**FORM, "name": "Ours", "query": "q=acme", "shared": "on"})
    own, shared = SavedView.objects.order_by("name")

    assert "Alive" in Page(client.get("/tenants/")).text
    assert "Ours" in Page(client.get("/tenants/")).text
    seen = Page(browse(owner).get("/tenants/"))
    assert "Ours" in seen.text
    assert "Alive" not in seen.text
    assert "shared by tom@example.com" in Page(browse(owner).get("/views/")).text
    for path in ("/tenants/", "/operations/", "/views/"):
        page = Page(browse(stranger).get(path)).text
        assert "Ours" not in page
        assert "Alive" not in page

    for view in (own, shared):
        assert browse(stranger).post(f"/views/{view.id}/delete/").status_code == 404
        assert browse(None).post(f"/views/{view.id}/delete/").status_code == 302
        assert client.get(f"/views/{view.id}/delete/").status_code == 404
    assert browse(owner).post(f"/views/{own.id}/delete/").status_code == 404
    assert SavedView.objects.count() == 2

    other = person_make("vera@example.com", owner.team, roles.VIEWER)
    assert browse(other).post(f"/views/{shared.id}/delete/").status_code == 403
    assert not Page(browse(other).get("/views/")).all("form", action=f"/views/{shared.id}/delete/")
    assert SavedView.objects.count() == 2

    assert browse(owner).post(f"/views/{shared.id}/delete/")["Location"] == "/views/"
    assert client.post(f"/views/{own.id}/delete/")["Location"] == "/views/"
    assert SavedView.objects.count() == 0
    assert AuditEvent.objects.filter(action="saved_view.deleted").count() == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "   "}, "must be 1 to 60 printable characters"),
        ({"name": "x" * 61}, "must be 1 to 60 printable characters"),
        ({"name": "ALIVE"}, "is the name of another view of yours"),
        ({"query": "page=3&next=//evil.example"}, "must be 1 to 1000 characters"),
    ],
)
def test_a_view_that_cannot_be_saved_says_why(
    owner: Person, browse: Browse, changed: dict[str, str], said: str
) -> None:
    client = browse(owner)
    client.post("/views/", FORM)

    page = Page(client.post("/views/", {**FORM, "name": "Another", **changed}))

    assert page.status == 422
    assert said in page.text
    assert SavedView.objects.count() == 1


def test_the_same_name_may_be_on_another_list_and_of_another_person(
    owner: Person, teammate: Person, browse: Browse
) -> None:
    for person in (owner, teammate):
        browse(person).post("/views/", FORM)
        browse(person).post("/views/", {**FORM, "list": "operations", "query": "state=failed"})

    assert SavedView.objects.count() == 4
    assert "/operations/?state=failed" in links(Page(browse(owner).get("/operations/")))
    assert browse(owner).post("/views/", {**FORM, "list": "invoices"}).status_code == 404


def test_views_are_bounded(owner: Person, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST", 1)
    client = browse(owner)
    client.post("/views/", FORM)

    page = Page(client.post("/views/", {**FORM, "name": "Second"}))

    assert page.status == 409
    assert "You saved 1 views. Delete one of them first." in page.text
    assert SavedView.objects.count() == 1


def test_the_lists_stay_within_their_queries(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation], django_assert_max_num_queries: object
) -> None:
    client = browse(owner)
    for number in range(3):
        client.post("/views/", {**FORM, "name": f"View {number}", "query": f"q={number}", "shared": "on"})
    for path in ("/tenants/?q=1", "/operations/", "/views/", "/preferences/"):
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            client.get(path)
