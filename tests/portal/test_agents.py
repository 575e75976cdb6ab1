"""The Agents tab and the trace of a run, over a real runtime; and their states when it is not there."""

import json
import socket
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from controlplane.accounts import roles
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal.agents import run_row
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make
from tests.tenant_runtime.support import RuntimeProcess

Behind = Callable[[Tenant], RuntimeProcess]
Active = tuple[Tenant, Operation]
WORDS = "zanzibar"


def asked(runtime: RuntimeProcess, agent: str, content: str) -> tuple[str, str]:
    """(thread, run) of a finished run that somebody else's key began."""
    with runtime.http() as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        given = {"messages": [{"role": "user", "content": content}]}
        http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": agent, "input": given})
        return thread, http.get(f"/threads/{thread}/runs").json()[0]["run_id"]


@pytest.fixture
def behind(active: Active, runtime_behind: Behind) -> RuntimeProcess:
    return runtime_behind(active[0])


def looks() -> list[dict[str, Any]]:
    return list(
        AuditEvent.objects.filter(action="tenant.run_content_read")
        .order_by("sequence")
        .values("actor", "data")
    )


def test_agents_are_shown_with_their_limits_and_how_to_call_them(
    teammate: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    page = Page(browse(teammate).get("/tenants/acme/agents/"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert "Says back what it was told" in page.text
    assert "12 steps, 60 s" in page.text
    for call in ('"speaking",', 'model="speaking"', f"curl -s {behind.url}/runs/wait", f"{behind.url}/v1"):
        assert call in page.html.replace("&quot;", '"')
    assert not page.all("a", href="/tenants/acme/playground/?agent=speaking"), "a viewer cannot run agents"


def test_runs_are_filtered_by_the_address_and_lead_to_their_traces(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    good = asked(behind, "speaking", "hi")
    bad = asked(behind, "broken", WORDS)

    def shown(query: str) -> list[str]:
        page = Page(browse(owner).get(f"/tenants/acme/agents/{query}"))
        assert_clean(page)
        assert WORDS not in page.html
        return [found["href"] for found in page.all("a", **{"class": "cover mono"})]

    good_place, bad_place = (f"/tenants/acme/runs/{thread}/{run}/" for thread, run in (good, bad))
    assert shown("")[:2] == [bad_place, good_place]
    assert bad_place in shown("?status=error")
    assert good_place not in shown("?status=error")
    assert bad_place not in shown("?agent=speaking")
    assert shown("?status=nonsense&before=x")[:1] == [bad_place]
    assert shown("?agent=nobody") == []
    assert shown("?before=1") == []


def test_a_trace_lays_the_calls_out_in_time_and_says_none_of_the_words(
    teammate: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = asked(behind, "document_analyst", f"How long are {WORDS} backups kept?")
    page = Page(browse(teammate).get(f"/tenants/acme/runs/{thread}/{run}/"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    for word in ("Waited for a worker", "Model call", "offline-rules-1", "Tool call", "compose_answer"):
        assert word in page.text
    bars = [bar for bar in page.all("rect") if " s-" in bar.get("class", "")]
    assert len(bars) >= 5
    assert all(0 <= float(bar["x"]) <= 1000 - float(bar["width"]) for bar in bars)
    assert [bar["class"].split()[0] for bar in bars[:3]] == ["wait", "chat", "embed"]
    assert WORDS not in page.html
    assert "Your role sees times and tokens" in page.text
    assert not page.all("form", method="post")[1:], "only the sign-out"
    assert looks() == []


def test_who_may_read_content_reads_it_and_the_audit_says_so(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = asked(behind, "document_analyst", f"How long are {WORDS} backups kept?")
    place = f"/tenants/acme/runs/{thread}/{run}/content/"
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    finance = person_make("finn@example.com", owner.team, roles.FINANCE)

    assert browse(stranger).post(place).status_code == 404
    for watcher in (teammate, finance):
        refused = Page(browse(watcher).post(place))
        assert refused.status == 403
        assert WORDS not in refused.html
    assert browse(owner).get(place).status_code == 302, "a link shows nothing and writes nothing"
    assert looks() == []

    for reader in (owner, operator):
        page = Page(browse(reader).post(place))
        assert page.status == 200
        assert_clean(page)
        assert WORDS in page.html
        assert "make_plan" in page.text
        assert "35 days" in page.text
    assert [look["actor"] for look in looks()] == [owner.principal.actor, operator.principal.actor]
    assert looks()[0]["data"] == {"thread_id": thread, "run_id": run}
    assert WORDS not in json.dumps(looks())


def test_what_looks_like_a_secret_is_hidden_from_readers_too(
    owner: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = asked(behind, "speaking", "my key is fhr_abcdefgh12345678, password=hunter2hunter2")
    page = Page(browse(owner).post(f"/tenants/acme/runs/{thread}/{run}/content/"))

    assert "[secret]" in page.text
    assert "You said my key" in page.text
    for secret in ("abcdefgh12345678", "hunter2"):
        assert secret not in page.html


def test_a_failed_run_says_the_cause_and_the_next_step_and_its_words_only_to_readers(
    owner: Person, teammate: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    thread, run = asked(behind, "broken", WORDS)
    place = f"/tenants/acme/runs/{thread}/{run}/"

    seen = Page(browse(teammate).get(place))
    assert "ValueError" in seen.text
    assert "Next:" in seen.text
    assert WORDS not in seen.html
    assert f"cannot do {WORDS}" in Page(browse(owner).post(f"{place}content/")).text


def test_a_run_of_another_thread_is_not_there(
    owner: Person, stranger: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    (thread, run), (other, _) = asked(behind, "speaking", "a"), asked(behind, "speaking", "b")

    assert browse(owner).get(f"/tenants/acme/runs/{thread}/{run}/").status_code == 200
    assert browse(owner).get(f"/tenants/acme/runs/{other}/{run}/").status_code == 404
    assert browse(owner).get(f"/tenants/acme/runs/{thread}/{uuid.uuid4()}/").status_code == 404
    assert browse(stranger).get(f"/tenants/acme/runs/{thread}/{run}/").status_code == 404
    assert browse(None).get(f"/tenants/acme/runs/{thread}/{run}/").status_code == 302


def test_tokens_that_were_not_counted_are_unknown_and_not_zero() -> None:
    row = {"run_id": "r", "thread_id": "t", "input_tokens": None, "output_tokens": None}
    assert run_row({**row, "model_calls": 2}).tokens is None
    assert run_row({**row, "model_calls": 0}).tokens == 0
    assert run_row({**row, "model_calls": 1, "input_tokens": 5, "output_tokens": 2}).tokens == 7


#: The same for every process that collects these tests.
NOBODYS = "00000000-0000-7000-8000-000000000000"
PAGES = ("agents/", f"runs/{NOBODYS}/{NOBODYS}/", "playground/")


@pytest.mark.parametrize("path", PAGES)
def test_a_runtime_that_is_away_is_said_so_in_time(
    owner: Person, browse: Browse, active: Active, path: str
) -> None:
    """It takes the connection and says nothing, as a process that hangs does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        Tenant.objects.update(runtime_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        page = Page(browse(owner).get(f"/tenants/acme/{path}"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert "The runtime does not answer" in page.text
    assert "did not answer in time" in page.text
    assert "freehold tenants show acme" in page.text


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("lifecycle", "said", "command"),
    [
        ("suspended", "The runtime is off", "freehold tenants resume acme"),
        ("provisioning", "The runtime is not there yet", "freehold tenants show acme"),
        ("failed", "There is no runtime to ask", "freehold tenants update acme"),
        ("deprovisioned", "There is no runtime any more", "freehold tenants show acme"),
    ],
)
def test_a_tenant_without_a_runtime_says_why(
    owner: Person, browse: Browse, active: Active, path: str, lifecycle: str, said: str, command: str
) -> None:
    Tenant.objects.update(lifecycle=lifecycle)
    page = Page(browse(owner).get(f"/tenants/acme/{path}"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert said in page.text
    assert command in page.text


def test_a_runtime_of_an_earlier_release_still_tells_its_agents(
    owner: Person, browse: Browse, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no list of runs, and its /info names no limits."""
    agent = {
        "name": "old_one",
        "version": "1",
        "adapter": "langgraph",
        "description": "",
        "tools": [],
        "model": "m",
    }
    info = {"version": "0.0.9", "agents": [agent], "models": {"chat": "m", "offline": False}, "paused": None}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/info":
            return httpx.Response(200, json=info)
        return httpx.Response(403, json={"code": "forbidden", "detail": "the role auditor may not do this"})

    played = httpx.MockTransport(answer)
    whole = httpx.Client

    def client(**options: Any) -> httpx.Client:
        return whole(**options, transport=played)

    monkeypatch.setattr("controlplane.tenants.runtime_client.httpx.Client", client)
    page = Page(browse(owner).get("/tenants/acme/agents/"))

    assert "old_one" in page.text
    assert "freehold tenants upgrade acme" in page.text
    assert_clean(page)


def test_these_pages_cost_few_queries(
    owner: Person, browse: Browse, behind: RuntimeProcess, django_assert_max_num_queries: Any
) -> None:
    thread, run = asked(behind, "speaking", "hi")
    client = browse(owner)
    for path in ("agents/", f"runs/{thread}/{run}/", "playground/"):
        with django_assert_max_num_queries(12):
            assert client.get(f"/tenants/acme/{path}").status_code == 200
