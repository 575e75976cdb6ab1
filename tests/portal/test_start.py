"""What now: the address, a key that is shown once, snippets that work as they stand, and what is left to do."""

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from controlplane.api.models import IdempotencyRecord
from controlplane.core.encryption import encrypt
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import credentials_read, secrets_context
from tests.portal.conftest import Browse, Page
from tests.portal.test_commands import Lines, taken
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person
from tests.tenant_runtime.support import ADMIN_KEY, RuntimeProcess

Active = tuple[Tenant, Operation]
START = "/tenants/acme/start/"


@pytest.fixture
def behind(active: Active, runtime_behind: Callable[[Tenant], RuntimeProcess]) -> RuntimeProcess:
    """A runtime that takes the tenant's admin key too: keys are made with it."""
    process, tenant = runtime_behind(active[0]), active[0]
    sealed = {**credentials_read(tenant), "runtime_admin_key": ADMIN_KEY}
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(
            sealed_secrets=encrypt(sealed, context=secrets_context(tenant.pk), owner=tenant.pk)
        )
    return process


def keys_of(runtime: RuntimeProcess) -> int:
    with runtime.http(key=ADMIN_KEY) as http:
        return len(http.get("/admin/keys").json()["results"])


def shown(page: Page) -> str:
    """The key on the page; empty where there is none."""
    found = re.search(r'id="issued-key">([^<]+)<', page.html)
    return html.unescape(found[1]) if found else ""


def test_the_operation_and_the_tenant_lead_there(owner: Person, browse: Browse, active: Active) -> None:
    client = browse(owner)
    assert Page(client.get(f"/operations/{active[1].id}/")).all("a", href=START)
    assert not Page(client.get("/tenants/acme/")).all("a", href=START), "a run was counted"


def test_the_tenant_leads_there_until_its_first_run(
    owner: Person, browse: Browse, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.portal.tenants.tenant_ran", lambda tenant_id: False)
    assert Page(browse(owner).get("/tenants/acme/")).all("a", href=START)
    Tenant.objects.update(lifecycle="suspended")
    assert not Page(browse(owner).get("/tenants/acme/")).all("a", href=START)


def test_a_key_is_shown_once_and_kept_nowhere(
    owner: Person, browse: Browse, behind: RuntimeProcess, caplog: pytest.LogCaptureFixture
) -> None:
    client = browse(owner)
    form = {"form_key": Page(client.get(START)).value("form_key"), "name": "web-app", "agent": "speaking"}
    before = keys_of(behind)

    page = Page(client.post(START, form))
    key = shown(page)
    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert key.startswith("fhr_")
    assert page.headers["Cache-Control"] == "no-store"
    with behind.http(key=key) as http:
        assert http.post("/assistants/search", json={}).status_code == 200

    again = client.post(START, form)
    assert (again.status_code, again.headers["Location"]) == (302, START)
    reloaded = Page(client.get(START))
    assert shown(reloaded) == ""
    assert "This was shown once" in reloaded.text
    assert keys_of(behind) == before + 1

    event = AuditEvent.objects.get(action="tenant.credentials_issued")
    assert (event.actor, event.data) == (owner.principal.actor, {"name": "web-app", "role": "user"})
    for kept in (AuditEvent, IdempotencyRecord, Operation, Tenant):
        assert key not in str(list(kept.objects.values()))
    assert key not in caplog.text
    assert key not in str(client.session.items())


def test_the_settings_make_one_key_a_form_too(owner: Person, browse: Browse, behind: RuntimeProcess) -> None:
    client, before = browse(owner), keys_of(behind)
    form = {"form_key": Page(client.get("/tenants/acme/settings/")).value("form_key") + "-key"}

    assert shown(Page(client.post("/tenants/acme/credentials/", form))).startswith("fhr_")
    assert client.post("/tenants/acme/credentials/", form).status_code == 302
    assert keys_of(behind) == before + 1


def test_each_snippet_runs_as_it_stands(
    owner: Person, browse: Browse, behind: RuntimeProcess, tmp_path: Path
) -> None:
    client = browse(owner)
    page = Page(client.post(START, {"agent": "speaking", "name": "snippets"}))
    snippets = {
        found["aria-label"]: html.unescape(text)
        for found, text in zip(
            [each for each in page.all("pre") if each["aria-label"].startswith("speaking")],
            re.findall(r'<pre tabindex="0" aria-label="speaking[^>]*>(.*?)</pre>', page.html, re.DOTALL),
            strict=True,
        )
    }
    assert list(snippets) == ["speaking, langgraph-sdk", "speaking, openai", "speaking, curl"]
    environment = {**os.environ, "RUNTIME_API_KEY": shown(page), "NO_PROXY": "*", "no_proxy": "*"}
    for title, text in snippets.items():
        script = tmp_path / "snippet"
        script.write_text(text)
        command = ["bash", str(script)] if "curl" in title else [sys.executable, str(script)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, (title, ran.stderr[-2000:])
        assert "You said What can you do?" in ran.stdout, (title, ran.stdout)


def test_the_list_says_what_is_left_and_how(
    owner: Person, teammate: Person, browse: Browse, behind: RuntimeProcess
) -> None:
    client = browse(owner)
    page = Lines(client.get(f"{START}?agent=broken"))
    assert "2 of 4 done" in page.text  # the runtime serves agents, and runs were counted
    assert page.all("a", href="/tenants/acme/budgets/new/")
    assert page.all("option", value="broken", selected="")
    assert page.commands
    for line in page.commands:
        taken(line)

    client.post(START, {"name": "x"})
    made = owner.api().post("/tenants/acme/budgets", {"name": "Cap", "amount": "100"})
    assert made.status_code == 201
    assert "4 of 4 done" in Page(client.get(START)).text

    viewer = Page(browse(teammate).get(START))
    assert_clean(viewer)
    assert_accessible(viewer)
    assert "Your role may not make keys" in viewer.text
    assert [found["action"] for found in viewer.all("form", method="post")] == ["/account/logout/"]


@pytest.mark.parametrize("lifecycle", ["suspended", "provisioning", "deprovisioned"])
def test_without_a_runtime_it_says_why(owner: Person, browse: Browse, active: Active, lifecycle: str) -> None:
    Tenant.objects.update(lifecycle=lifecycle)
    client = browse(owner)
    page = Page(client.get(START))
    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert not page.all("input", name="name")
    refused = client.post(START, {"name": "x"}, follow=True)
    assert f"acme is {lifecycle}, not active" in Page(refused).text


def test_it_costs_few_queries(
    owner: Person, browse: Browse, behind: RuntimeProcess, django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    for path in (START, "/tenants/acme/"):
        with django_assert_max_num_queries(12):
            assert client.get(path).status_code == 200
