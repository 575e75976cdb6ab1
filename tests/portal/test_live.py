"""The live page of an operation: what the server renders first, and what it adds after a cursor."""

import re

from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation, OperationEvent
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make


def lines(page: Page) -> list[int]:
    return [int(name) for name in re.findall(r'<li id="event-(\d+)"', page.html)]


def test_every_state_has_its_page(owner: Person, browse: Browse, acme: tuple[Tenant, Operation]) -> None:
    now = clock.now()
    client = browse(owner)
    queued = Page(client.get(f"/operations/{acme[1].id}/"))
    assert "Place 1 in the queue, waiting for a worker" in queued.text
    acme[1].refresh_from_db()
    Operation.objects.update(priority=90)

    for story in (stories.provisioned, stories.failed, stories.awaiting_approval):
        operation = story(owner.principal, story.__name__.replace("_", "-"), now)[1]
        page = Page(client.get(f"/operations/{operation.id}/"))
        assert page.status == 200
        assert_clean(page)
        assert_accessible(page)
        assert page.all("div", role="log")


def test_the_page_reloads_itself_without_scripts_while_it_moves(
    owner: Person, browse: Browse, acme: tuple[Tenant, Operation]
) -> None:
    open_page = Page(browse(owner).get(f"/operations/{acme[1].id}/"))
    Operation.objects.update(priority=90)
    ended = stories.provisioned(owner.principal, "globex", clock.now())[1]

    assert open_page.all("meta", http_equiv="refresh")
    assert not Page(browse(owner).get(f"/operations/{ended.id}/")).all("meta", http_equiv="refresh")


def test_a_fragment_holds_only_lines_after_its_cursor(owner: Person, browse: Browse) -> None:
    operation = stories.provisioned(owner.principal, "acme", clock.now())[1]
    client = browse(owner)
    page = Page(client.get(f"/operations/{operation.id}/"))
    seen = lines(page)
    middle = seen[len(seen) // 2]

    part = Page(client.get(f"/operations/{operation.id}/live/?cursor={middle}"))
    nothing = Page(client.get(f"/operations/{operation.id}/live/?cursor={seen[-1]}"))
    odd = Page(client.get(f"/operations/{operation.id}/live/?cursor=-1;drop"))

    assert lines(part) == [number for number in seen if number > middle]
    assert lines(nothing) == []
    assert lines(odd) == seen
    newest = (
        OperationEvent.objects.filter(operation=operation).order_by("-id").values_list("id", flat=True)[0]
    )
    assert part.all("div", id="fragment")[0]["data-cursor"] == str(newest)
    assert "data-open" not in part.all("div", id="fragment")[0]


def test_fragment_and_page_render_the_same_regions(owner: Person, browse: Browse) -> None:
    operation = stories.failed(owner.principal, "hooli", clock.now())[1]
    client = browse(owner)

    def regions(path: str) -> list[str]:
        return [found["data-region"] for _, found in Page(client.get(path)).tags if "data-region" in found]

    ready = stories.provisioned(owner.principal, "acme", clock.now())[1]
    for one in (operation, ready):
        forms = [
            [
                found.get("action", "")
                for found in Page(client.get(f"/operations/{one.id}/{path}")).all("form")
            ]
            for path in ("", "live/")
        ]
        assert [action for action in forms[0] if action.startswith("/operations/")] == forms[1]
        links = [
            {found["href"] for found in Page(client.get(f"/operations/{one.id}/{path}")).all("a")}
            for path in ("", "live/")
        ]
        assert links[1] <= links[0]
        assert ("/tenants/acme/settings/" in links[1]) == (one is ready)
    whole = regions(f"/operations/{operation.id}/")
    assert whole == ["head", "outcome", "plan", "resources", "side"]
    assert regions(f"/operations/{operation.id}/live/") == whole


def test_engine_words_are_escaped(owner: Person, browse: Browse) -> None:
    from controlplane.operations.events import events_append

    operation = stories.failed(owner.principal, "hooli", clock.now())[1]
    nasty = {"severity": "error", "message": "<script>alert(1)</script><img src=x onerror=alert(2)>"}
    events_append(operation_id=operation.id, at=clock.now(), events=[("diagnostic", nasty)])

    page = Page(browse(owner).get(f"/operations/{operation.id}/"))

    assert_clean(page)
    assert "&lt;script&gt;alert(1)" in page.html


def test_the_first_of_two_persons_is_not_offered_the_approval(owner: Person, browse: Browse) -> None:
    operation = stories.awaiting_approval(owner.principal, "initech", clock.now())[1]
    verbs = {verb: f"/operations/{operation.id}/{verb}/" for verb in ("approve", "reject")}

    def offered(person: Person) -> set[str]:
        page = Page(browse(person).get(f"/operations/{operation.id}/"))
        return {verb for verb, action in verbs.items() if page.all("form", action=action)}

    second = person_make("ada@example.com", owner.team, roles.OPERATOR)
    assert offered(owner) == {"approve", "reject"}
    Operation.objects.filter(pk=operation.pk).update(second_person=True)
    assert offered(owner) == {"reject"}
    assert offered(second) == {"approve", "reject"}
