"""What forms do, with scripts off: each is a plain post that answers with a redirect or the form again."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.cache import cache

from controlplane.accounts.models import ApiKey
from controlplane.accounts.selectors import principal_of_token
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.releases import release_shipped
from tests.portal import stories
from tests.portal.conftest import Browse, Page, signed_in
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
WANTED = {"name": "Acme Corporation", "slug": "acme", "plan": "pro", "target": "local"}


def test_onboarding_creates_a_tenant_and_leads_to_its_operation(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    form = Page(client.get("/tenants/new/"))

    answer = client.post("/tenants/new/", {**WANTED, "form_key": form.value("form_key")})

    tenant = Tenant.objects.get()
    operation = Operation.objects.get()
    assert (tenant.slug, tenant.name, tenant.plan) == ("acme", "Acme Corporation", "pro")
    assert operation.kind == states.PROVISION
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/operations/{operation.id}/"


def test_a_double_click_creates_one_tenant(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    body = {**WANTED, "form_key": Page(client.get("/tenants/new/")).value("form_key")}

    first, second = client.post("/tenants/new/", body), client.post("/tenants/new/", body)

    assert first.headers["Location"] == second.headers["Location"]
    assert Operation.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("slug", "Not A Slug", "must be 2 to 40"),
        ("slug", "new", "is reserved"),
        ("name", "", "must be 1 to 200"),
        ("plan", "free", "must be one of"),
        ("target", "moon", "must be one of"),
        ("contact_email", "nobody", "is not an e-mail address"),
    ],
)
def test_a_wrong_field_is_named_beside_it_and_nothing_is_created(
    owner: Person, browse: Browse, field: str, value: str, says: str
) -> None:
    page = Page(browse(owner).post("/tenants/new/", {**WANTED, "contact_email": "", field: value}))

    assert page.status == 422
    assert says in page.text
    assert page.all("div", role="alert")
    if field != "plan":
        marked = [found["name"] for tag, found in page.tags if found.get("aria-invalid") == "true"]
        assert marked == [field]
    kept = "slug" if field == "name" else "name"
    assert page.value(kept) == WANTED[kept]
    assert Tenant.objects.count() == Operation.objects.count() == 0


def test_a_taken_slug_is_named_beside_it(owner: Person, stranger: Person, browse: Browse) -> None:
    stories.request(stranger.principal, "acme", clock.now())

    page = Page(browse(owner).post("/tenants/new/", WANTED))

    assert page.status == 409
    assert "is taken by another tenant" in page.text
    assert page.value("name") == WANTED["name"]


def test_deleting_asks_for_the_slug(owner: Person, browse: Browse, active: tuple[Tenant, Operation]) -> None:
    client = browse(owner)

    refused = Page(client.post("/tenants/acme/delete/", {"confirm": "acme corporation"}))
    assert refused.status == 422
    assert "Type acme to confirm" in refused.text
    assert Operation.objects.count() == 1

    answer = client.post("/tenants/acme/delete/", {"confirm": "acme"})
    operation = Operation.objects.get(kind=states.DEPROVISION)
    assert answer.headers["Location"] == f"/operations/{operation.id}/"


def test_deleting_asks_for_the_password_when_the_sign_in_is_a_while_ago(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    cache.clear()
    owner.user.set_password("a long password")
    owner.user.save()
    client = browse(owner)
    assert not Page(client.get("/tenants/acme/settings/")).all("input", type="password")
    signed_in(client, owner, ago_s=16 * 60)
    assert Page(client.get("/tenants/acme/settings/")).all("input", type="password", required="")

    for given, said in (({}, "a while ago"), ({"password": "wrong"}, "That is not your password")):
        refused = Page(client.post("/tenants/acme/delete/", {"confirm": "acme", **given}))
        assert (refused.status, said in refused.text) == (422, True)
        assert "wrong" not in refused.html
    assert Operation.objects.count() == 1

    client.post("/tenants/acme/delete/", {"confirm": "acme", "password": "a long password"})
    assert Operation.objects.filter(kind=states.DEPROVISION).count() == 1
    assert not Page(client.get("/tenants/acme/settings/")).all("input", type="password")


def test_passwords_are_not_guessed_in_a_row(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    cache.clear()
    client = browse(owner)
    signed_in(client, owner, ago_s=16 * 60)
    tries = [
        client.post("/tenants/acme/delete/", {"confirm": "acme", "password": f"guess {number}"}).status_code
        for number in range(15)
    ]
    assert set(tries) == {422, 429}
    assert tries[-1] == 429
    assert Operation.objects.count() == 1


def test_protection_keeps_a_tenant(owner: Person, browse: Browse, active: tuple[Tenant, Operation]) -> None:
    client = browse(owner)

    client.post("/tenants/acme/protection/", {"deletion_protection": "on"})
    assert Tenant.objects.get().deletion_protection
    assert "Lift the protection first" in Page(client.get("/tenants/acme/settings/")).text

    answer = client.post("/tenants/acme/delete/", {"confirm": "acme"}, follow=True)
    assert "is protected against deletion" in Page(answer).text
    assert not Operation.objects.filter(kind=states.DEPROVISION).exists()

    client.post("/tenants/acme/protection/", {})
    assert not Tenant.objects.get().deletion_protection


def test_operations_on_request(owner: Person, browse: Browse, active: tuple[Tenant, Operation]) -> None:
    answer = browse(owner).post("/tenants/acme/operate/update/", {"requires_approval": "on"})

    operation = Operation.objects.get(kind=states.UPDATE)
    assert operation.requires_approval
    assert answer.headers["Location"] == f"/operations/{operation.id}/"
    assert browse(owner).post("/tenants/acme/operate/explode/").status_code == 404


def test_what_the_state_does_not_allow_comes_back_with_the_reason(
    owner: Person, browse: Browse, acme: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).post("/tenants/acme/operate/update/", follow=True))

    assert page.status == 200
    assert "acme is requested; update needs it to be" in page.text
    assert page.all("div", role="alert")


def test_a_runtime_key_is_shown_once(
    owner: Person,
    browse: Browse,
    active: tuple[Tenant, Operation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def issue(url: str, **kwargs: object) -> httpx.Response:
        return httpx.Response(200, json={"api_key": "fhr_shown_once"}, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", issue)
    client = browse(owner)

    answer = client.post("/tenants/acme/credentials/", {"name": "web-app"})

    page = Page(answer)
    assert page.status == 200
    assert "fhr_shown_once" in page.text
    assert answer.headers["Cache-Control"] == "no-store"
    again = client.get("/tenants/acme/credentials/")
    assert again.headers["Location"] == "/tenants/acme/settings/"
    assert "fhr_shown_once" not in Page(client.get("/tenants/acme/settings/")).html


def test_a_silent_runtime_issues_no_key_and_says_so(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    Tenant.objects.update(runtime_url="http://127.0.0.1:9")

    page = Page(browse(owner).post("/tenants/acme/credentials/", {"name": "x"}, follow=True))

    assert "did not issue a key" in page.text


def test_approving_and_rejecting(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    yes = stories.awaiting_approval(owner.principal, "umbrella", clock.now())[1]
    no = stories.awaiting_approval(owner.principal, "tyrell", clock.now())[1]
    assert "Approve and apply" in Page(client.get(f"/operations/{yes.id}/")).text

    client.post(f"/operations/{yes.id}/approve/")
    client.post(f"/operations/{no.id}/reject/")

    yes.refresh_from_db()
    no.refresh_from_db()
    assert (yes.state, yes.approved_by) == (states.QUEUED, f"user:{owner.user.email}")
    assert no.state == states.CANCELED


def test_a_failure_says_why_and_offers_the_retry(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    operation = stories.failed(owner.principal, "hooli", clock.now())[1]

    page = Page(client.get(f"/operations/{operation.id}/"))
    assert "could not bind 127.0.0.1:21002" in page.text
    assert "Mend the cause and retry" in page.text
    assert f"freehold operations retry {operation.id}" in page.text

    answer = client.post(f"/operations/{operation.id}/retry/")
    operation.refresh_from_db()
    assert answer.headers["Location"] == f"/operations/{operation.id}/"
    assert (operation.state, operation.attempt) == (states.QUEUED, 2)


def test_an_older_failure_offers_no_retry(owner: Person, browse: Browse) -> None:
    operation = stories.failed(owner.principal, "hooli", clock.now())[1]
    client = browse(owner)
    client.post("/tenants/hooli/operate/update/")
    newest = Operation.objects.get(kind=states.UPDATE)

    page = Page(client.get(f"/operations/{operation.id}/"))

    assert not page.all("form", action=f"/operations/{operation.id}/retry/")
    assert page.all("a", href=f"/operations/{newest.id}/")


def test_canceling_what_waits(owner: Person, browse: Browse, acme: tuple[Tenant, Operation]) -> None:
    browse(owner).post(f"/operations/{acme[1].id}/cancel/")

    acme[1].refresh_from_db()
    assert acme[1].state == states.CANCELED


def test_keys_are_made_shown_once_and_revoked(owner: Person, browse: Browse) -> None:
    client = browse(owner)

    page = Page(client.post("/keys/", {"name": "ci", "scopes": ["tenants:read"], "days": "30"}))

    key = ApiKey.objects.get(name="ci")
    token = next(word for word in page.text.split() if word.startswith(f"fh_{key.prefix}_"))
    assert principal_of_token(token=token, now=clock.now()) is not None
    assert token not in Page(client.get("/keys/")).html

    client.post(f"/keys/{key.id}/revoke/")
    assert principal_of_token(token=token, now=clock.now()) is None


def test_a_key_needs_a_name_and_a_scope(owner: Person, browse: Browse) -> None:
    before = ApiKey.objects.count()

    assert Page(browse(owner).post("/keys/", {"name": "", "scopes": ["tenants:read"]})).status == 422
    assert Page(browse(owner).post("/keys/", {"name": "ci"})).status == 422
    assert ApiKey.objects.count() == before


def test_a_suspend_wants_a_tick_and_a_resume_is_offered_after_it(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client, tenant = browse(owner), active[0]
    settings = Page(client.get("/tenants/acme/settings/"))
    assert "gives back the GPUs" in settings.text
    assert "/operate/resume/" not in settings.html

    refused = Page(client.post("/tenants/acme/operate/suspend/", {}))
    assert refused.status == 422
    assert "Tick the box" in refused.text
    assert not Operation.objects.filter(kind=states.SUSPEND).exists()

    answer = client.post("/tenants/acme/operate/suspend/", {"confirm": "on"})
    operation = Operation.objects.get(kind=states.SUSPEND)
    assert answer.headers["Location"] == f"/operations/{operation.id}/"

    Operation.objects.filter(pk=operation.pk).update(state=states.SUCCEEDED)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="suspended", health="unknown", health_checks=[])
    page = Page(client.get("/tenants/acme/"))
    assert "This tenant is suspended" in page.text
    assert "Nobody looks at a suspended tenant" in page.text
    settings = Page(client.get("/tenants/acme/settings/"))
    assert "resume it to issue keys" in settings.text
    assert "/operate/suspend/" not in settings.html

    client.post("/tenants/acme/operate/resume/", {})
    assert Operation.objects.get(kind=states.RESUME).state == states.QUEUED


def test_credentials_are_rotated_from_the_settings_and_not_while_suspended(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client, tenant = browse(owner), active[0]
    assert "the old ones end with the operation" in Page(client.get("/tenants/acme/settings/")).text

    answer = client.post("/tenants/acme/operate/rotate-credentials/", {})
    operation = Operation.objects.get(kind=states.ROTATE_CREDENTIALS)
    assert answer.headers["Location"] == f"/operations/{operation.id}/"
    assert "Rotate credentials" in Page(client.get(f"/operations/{operation.id}/")).text

    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="suspended")
    assert "/operate/rotate-credentials/" not in Page(client.get("/tenants/acme/settings/")).html
    client.post("/tenants/acme/operate/rotate-credentials/", {})
    assert Operation.objects.filter(kind=states.ROTATE_CREDENTIALS).count() == 1


def test_an_upgrade_offers_the_releases_that_are_known(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation], settings: Any, tmp_path: Path
) -> None:
    client, tenant = browse(owner), active[0]
    settings.FREEHOLD_HOME = tmp_path
    python = tmp_path / "runtimes" / "0.0.9" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)
    page = Page(client.get("/tenants/acme/settings/"))
    # Other fields of the page offer words.
    releases = [option["value"] for option in page.all("option") if option["value"][0].isdigit()]
    assert releases == [release_shipped(), "0.0.9"]

    refused = client.post("/tenants/acme/operate/upgrade/", {"version": "7.7.7"})
    assert not Operation.objects.filter(kind=states.UPGRADE).exists()
    assert "must be one of" in Page(client.get(refused.headers["Location"])).text

    client.post("/tenants/acme/operate/upgrade/", {"version": "0.0.9"})
    assert Operation.objects.get(kind=states.UPGRADE).state == states.QUEUED
    tenant.refresh_from_db()
    assert tenant.runtime_version == "0.0.9"
