"""The playground without scripts, its stream, and who may: the owner talks, the viewer and the stranger do not."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.test import AsyncClient, Client

from controlplane.accounts import roles
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal import playground_stream
from controlplane.portal.playground_stream import told_of
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_client import RuntimeClient
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make
from tests.tenant_runtime.support import ADMIN_KEY, RuntimeProcess, wait_until

Behind = Callable[[Tenant], RuntimeProcess]
SAY = "/tenants/acme/playground/say/"
STOP = "/tenants/acme/playground/stop/"


@pytest.fixture
def behind(active: tuple[Tenant, Operation], runtime_behind: Behind) -> RuntimeProcess:
    return runtime_behind(active[0])


def said(client: Client, text: str, agent: str = "speaking", **more: str) -> str:
    """The address after the message."""
    answer = client.post(SAY, {"agent": agent, "text": text, **more})
    assert answer.status_code == 302, answer.content
    return str(answer.headers["Location"])


def ids(place: str) -> tuple[str, str]:
    found = parse_qs(urlsplit(place).query)
    return found["thread"][0], found["run"][0]


def requested() -> int:
    return AuditEvent.objects.filter(action="tenant.run_requested").count()


def bubbles(page: Page) -> list[str]:
    return re.findall(r'<div class="said">(.*?)</div>', page.html)


def test_a_conversation_without_scripts(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    client = browse(owner)
    empty = Page(client.get("/tenants/acme/playground/?agent=speaking"))
    assert_clean(empty)
    assert_accessible(empty)
    assert "they count and are billed as any other" in empty.text

    first = said(client, "hello")
    page = Page(client.get(first))
    assert_clean(page)
    assert_accessible(page)
    assert bubbles(page) == ["hello", "You said hello, 1 so far"]
    assert not page.all("meta", http_equiv="refresh")
    thread, run = ids(first)
    assert page.all("a", href=f"/tenants/acme/runs/{thread}/{run}/")
    assert page.value("thread") == thread

    said(client, "again", thread=thread)
    kept = f"/tenants/acme/playground/?thread={thread}"
    wait_until(lambda: len(bubbles(Page(client.get(kept)))) == 4, 20, "the second answer")
    assert bubbles(Page(client.get(kept)))[-1] == "You said again, 3 so far"
    events = AuditEvent.objects.filter(action="tenant.run_requested").order_by("sequence")
    assert [(each.actor, each.data) for each in events] == [
        (owner.principal.actor, {"thread_id": thread, "agent": "speaking"})
    ] * 2
    with behind.http() as operator:
        row = operator.get(f"/admin/runs/{run}").json()
        assert row["user"] == f"person:{owner.user.pk}"
    for place in ("agents/", f"runs/{thread}/{run}/"):
        assert owner.user.email in Page(client.get(f"/tenants/acme/{place}")).text.replace("\n", "")


def test_a_form_sent_twice_begins_one_run(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    client = browse(owner)
    places = {said(client, "once", form_key="11111111-aaaa-4bbb-8ccc-222222222222") for _ in range(2)}
    assert len(places) == 1
    assert requested() == 1


def test_a_question_of_the_agent_is_answered(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    client = browse(owner)
    first = said(client, "paint", agent="asking")
    page = Page(client.get(first))
    assert "Which colour?" in page.text
    assert "Your answer" in page.text
    thread, run = ids(first)
    assert "waits for an answer" in Page(client.get(f"/tenants/acme/runs/{thread}/{run}/")).text

    answered = Page(client.get(said(client, "green", agent="asking", thread=thread)))
    assert "green it is" in answered.text
    assert "Your message" in answered.text


def test_an_answer_that_the_agent_offers_is_one_button(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    client = browse(owner)
    page = Page(client.get(said(client, "paint", agent="asking")))
    assert_clean(page)
    assert_accessible(page)
    offered = [found["value"] for found in page.all("input", name="text")]
    assert offered == ['{"colour": "red"}'], "the other has a gap to fill"
    answered = Page(client.get(said(client, offered[0], agent="asking", thread=page.value("thread"))))
    assert "red it is" in answered.text
    assert not answered.all("input", name="text")


def test_a_run_is_stopped_and_says_so(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    client = browse(owner)
    thread, run = ids(said(client, "zzz", agent="sleepy"))
    going = Page(client.get(f"/tenants/acme/playground/?thread={thread}"))
    assert going.all("meta", http_equiv="refresh")
    assert ["hidden" in form for form in going.all("form", id="stop")] == [False]
    busy = Page(client.post(SAY, {"agent": "sleepy", "text": "more", "thread": thread}, follow=True))
    assert "has an active run" in busy.text

    answer = client.post(STOP, {"agent": "sleepy", "thread": thread, "run": run})
    ended = Page(client.get(answer.headers["Location"]))
    assert "interrupted" in ended.text
    assert AuditEvent.objects.filter(action="tenant.run_stopped").count() == 1
    over = Page(client.post(STOP, {"agent": "sleepy", "thread": thread, "run": run}, follow=True))
    assert "That run is over already." in over.text


def test_a_failure_is_shown_with_what_to_do(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    page = Page(browse(owner).get(said(browse(owner), "dance", agent="broken")))
    assert "ValueError" in page.text
    assert "cannot do dance" in page.text
    assert "Next:" in page.text


def test_a_runtime_that_refuses_new_runs_says_why(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    with behind.http(ADMIN_KEY) as admin:
        admin.post("/admin/pause", json={"reason": "the budget is spent"}).raise_for_status()
        try:
            page = Page(browse(owner).post(SAY, {"agent": "speaking", "text": "hi"}, follow=True))
        finally:
            admin.post("/admin/resume").raise_for_status()
    assert page.text.count("the budget is spent") == 2, "as the answer to the message, and on the page"


def test_an_empty_or_endless_message_is_refused(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    for text in ("", "  ", "x" * 20_001):
        page = Page(browse(owner).post(SAY, {"agent": "speaking", "text": text}, follow=True))
        assert "write something, at most 20,000 characters" in page.text
    assert requested() == 0


def test_scripts_are_told_where_the_run_is(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    accept = {"accept": "application/json"}
    told = browse(owner).post(SAY, {"agent": "speaking", "text": "hi"}, headers=accept).json()
    assert told["stream"] == f"/tenants/acme/playground/{told['thread']}/{told['run']}/stream/"
    assert told["place"].endswith(f"thread={told['thread']}")
    assert "ey" not in told["stream"]
    refused = browse(owner).post(SAY, {"agent": "speaking", "text": ""}, headers=accept)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")


def test_three_people_and_an_operator(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = ids(said(browse(owner), "mine alone"))
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    before = requested()
    for person, status in ((teammate, 403), (stranger, 404), (operator, 404)):
        client = browse(person)
        page = Page(client.get(f"/tenants/acme/playground/?thread={thread}"))
        assert page.status == status
        assert "mine alone" not in page.html
        assert_clean(page)
        stopped = client.post(STOP, {"thread": thread, "run": run}, follow=True).status_code
        assert stopped == status
    for person, status in ((teammate, 403), (stranger, 404), (operator, 404)):
        body = {"agent": "speaking", "text": "x", "thread": thread}
        assert browse(person).post(SAY, body).status_code == status
    assert requested() == before
    assert browse(operator).get("/tenants/acme/playground/").status_code == 200
    assert browse(None).get("/tenants/acme/playground/").status_code == 302


def number_of(event: str) -> int:
    found = re.match(r"id: (\d+)", event)
    return int(found[1]) if found else 0


async def _read(client: AsyncClient, path: str, **headers: str) -> tuple[int, list[str]]:
    answer = await client.get(path, headers=headers)
    if not answer.streaming:
        return answer.status_code, [answer.content.decode()]
    body = b"".join([part async for part in answer.streaming_content])
    return answer.status_code, body.decode().split("\n\n")


def stream(person: Person | None, thread: object, run: object, **headers: str) -> tuple[int, list[str]]:
    client = AsyncClient()
    if person is not None:
        client.force_login(person.user)
    path = f"/tenants/acme/playground/{thread}/{run}/stream/"
    return asyncio.run(_read(client, path, **headers))


@pytest.mark.django_db(transaction=True)
def test_the_stream_tells_steps_and_words_and_goes_on_where_it_was(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = ids(said(browse(owner), "hello"))
    status, events = stream(owner, thread, run)
    assert status == 200
    names = [match[1] for each in events if (match := re.search(r"^event: (\w+)", each, re.M))]
    assert names[0] == "attempt"
    assert names[-1] == "over"
    assert names.count("text") > 5, "in pieces"
    steps = re.findall(r'event: step\ndata: .*"name": "(\w+)", "state": "(\w+)"', "\n\n".join(events))
    assert steps == [
        ("listen", "begun"),
        ("listen", "done"),
        ("speak", "begun"),
        ("speak", "done"),
    ]
    middle = next(each for each in events if "event: text" in each)
    _, rest = stream(owner, thread, run, **{"Last-Event-ID": str(number_of(middle))})
    assert [number_of(each) for each in rest if number_of(each)] == [
        number_of(each) for each in events if number_of(each) > number_of(middle)
    ]
    assert "Bearer" not in "".join(events)


@pytest.mark.django_db(transaction=True)
def test_a_stream_is_its_persons_alone(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = ids(said(browse(owner), "mine alone"))
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    for person, status in ((None, 401), (teammate, 403), (stranger, 404)):
        found, body = stream(person, thread, run)
        assert found == status
        assert "mine" not in "".join(body)
    found, body = stream(operator, thread, run)
    assert found == 200
    assert "event: gone" in body[1]
    assert "no such run of yours" in body[1]
    assert "event: gone" in stream(owner, thread, uuid.uuid4())[1][1]


def test_what_is_told_of_an_event() -> None:
    assert told_of("tasks", '{"id": "1", "name": "plan", "input": {"secret": "x"}}') == (
        "step",
        {"id": "1", "name": "plan", "state": "begun"},
    )
    assert told_of("tasks", '{"id": "1", "name": "plan", "result": {"secret": "x"}}') == (
        "step",
        {"id": "1", "name": "plan", "state": "done"},
    )
    assert told_of("error", '{"error": "ValueError", "message": "of a customer"}') == (
        "failed",
        {"code": "ValueError"},
    )
    assert told_of("messages", '[{"type": "human", "content": "hi"}, {}]') is None
    assert told_of("messages|x", '[{"type": "ai", "id": "m", "content": [{"text": "hi"}]}, {}]') == (
        "text",
        {"id": "m", "text": "hi"},
    )
    for name, data in (("values", '{"a": 1}'), ("tasks", "no json"), ("messages", "[]"), ("end", "[1]")):
        assert told_of(name, data) is None


def test_a_line_that_is_too_long_is_left_out_and_the_next_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground_stream, "LINE_MAX", 64)
    big = b'data: {"status": "' + b"x" * 500 + b'"}'
    body = b"id: 1\nevent: end\n" + big + b'\n\nid: 2\nevent: end\ndata: {"status": "success"}\n\n'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async def read() -> list[Any]:
        answer = httpx.Response(200, content=pieces())
        return [each async for each in playground_stream._shortened(answer)]

    assert asyncio.run(read()) == [b'id: 2\nevent: over\ndata: {"status": "success"}\n\n']


class Upstream(httpx.AsyncByteStream):
    """A run that says one thing and then nothing, until it is hung up on."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'id: 1\nevent: metadata\ndata: {"attempt": 1}\n\n'
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


def followed(
    upstream: httpx.AsyncByteStream, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], Any]
) -> list[bytes]:
    """What the page was told until `act` (which gets the task that reads) was done with it."""
    whole = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        played = httpx.MockTransport(lambda _: httpx.Response(200, stream=upstream))
        return whole(**options, transport=played)

    monkeypatch.setattr(playground_stream.httpx, "AsyncClient", client)
    told: list[bytes] = []
    begun = asyncio.Event()

    async def read() -> None:
        runtime = RuntimeClient(tenant=Tenant(slug="acme", runtime_url="http://runtime"), token="t")
        async for part in playground_stream._events(runtime, "/threads/1/runs/2/stream", "", "en"):
            told.append(part)
            if len(told) == 2:
                begun.set()

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.wait_for(begun.wait(), 5)
        act(task)
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    asyncio.run(main())
    return told


def test_the_runtime_is_hung_up_on_when_the_browser_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream()
    told = followed(upstream, monkeypatch, lambda task: task.cancel())
    assert told[1] == b'id: 1\nevent: attempt\ndata: {"attempt": 1}\n\n'
    assert upstream.closed


def test_a_stream_ends_by_its_hour_without_saying_that_the_run_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The browser then comes again from where it was."""

    class Lively(Upstream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.01)
                yield b": heartbeat\n\n"

    monkeypatch.setattr(playground_stream, "STREAM_S", 0.2)
    upstream = Lively()
    told = followed(upstream, monkeypatch, lambda task: None)
    assert set(told[1:]) == {b": heartbeat\n\n"}
    assert upstream.closed
