"""One thing asked of several tenants: who may, what is foretold, and what became of each."""

import csv
import io
from typing import Any

import pytest

from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants import bulk
from controlplane.tenants.models import BulkOutcome, BulkRequest, Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_commands import Lines, taken
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
HERE = "/bulk/tenants/"


@pytest.fixture
def fleet(owner: Person) -> list[Tenant]:
    """Two that are active and one that rests."""
    made = [
        stories.provisioned(owner.principal, slug, clock.now())[0] for slug in ("acme", "hooli", "umbrella")
    ]
    Tenant.objects.filter(slug="umbrella").update(lifecycle="suspended")
    return made


def ids(tenants: list[Tenant]) -> str:
    return ",".join(str(tenant.pk) for tenant in tenants)


def outcomes() -> dict[str, str]:
    return dict(BulkOutcome.objects.order_by("position").values_list("tenant__slug", "state"))


def asked(kind: str) -> set[str]:
    return set(Operation.objects.filter(kind=kind).values_list("tenant__slug", flat=True))


def test_the_list_leads_by_ticks_to_a_page_that_says_what_each_would_do(
    owner: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    client = browse(owner)
    listed = Page(client.get("/tenants/"))
    ticks = [found["value"] for found in listed.all("input", name="tenant")]
    assert set(ticks) == {str(tenant.pk) for tenant in fleet}
    before = Operation.objects.count()

    page = Lines(client.get(HERE, {"tenant": ticks, "verb": "suspend"}))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert page.text.count("an operation is queued") == 2
    assert "umbrella is suspended" in page.text
    assert "2 of 3 would take it now" in page.text
    taken("freehold tenants suspend acme")
    assert "freehold tenants suspend acme" in page.text
    assert (Operation.objects.count(), BulkRequest.objects.count()) == (before, 0), "looking does nothing"
    assert "deprovision" not in [found["value"] for found in listed.all("option") if "value" in found]
    assert client.get(HERE, {"tenant": ticks, "verb": "deprovision"}).status_code == 404


def test_each_is_asked_by_itself_and_a_refusal_stops_no_other(
    owner: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    client = browse(owner)
    form = Page(client.get(HERE, {"tenants": ids(fleet), "verb": "suspend"}))
    sent = {name: form.value(name) for name in ("form_key", "tenants", "verb")}

    unsure = Page(client.post(HERE, sent))
    assert unsure.status == 422
    assert "Tick the box" in unsure.text
    assert asked("suspend") == set()

    answers = [client.post(HERE, {**sent, "confirm": "on"}) for _ in range(2)]

    done = BulkRequest.objects.get()
    assert [answer["Location"] for answer in answers] == [f"{HERE}{done.id}/"] * 2
    assert outcomes() == {"acme": "queued", "hooli": "queued", "umbrella": "refused"}
    assert Operation.objects.filter(kind="suspend").count() == 2, "sent twice, it is done once"
    page = Page(client.get(answers[0]["Location"]))
    assert_clean(page)
    assert_accessible(page)
    assert "umbrella is suspended; suspend needs it to be active, failed. It rests already." in page.text
    for operation in Operation.objects.filter(kind="suspend"):
        assert page.all("a", href=f"/operations/{operation.id}/")
    assert AuditEvent.objects.get(action="tenants.bulk_requested").data == {"verb": "suspend", "tenants": 3}
    assert page.all("form", method="post") == page.all("form", action="/account/logout/")


@pytest.mark.parametrize("verb", ["resume", "upgrade", "preview", "refresh"])
def test_what_a_tenant_takes_alone_several_take(
    owner: Person, browse: Browse, fleet: list[Tenant], verb: str
) -> None:
    browse(owner).post(HERE, {"tenants": ids(fleet), "verb": verb})

    willing = {"umbrella"} if verb == "resume" else {"acme", "hooli", "umbrella"}
    assert asked(verb) == willing
    assert {slug for slug, state in outcomes().items() if state == "queued"} == willing


def test_a_request_that_was_cut_off_says_so_and_goes_on(
    owner: Person, teammate: Person, browse: Browse, fleet: list[Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = bulk.tenant_operate, list[str]()

    def dies(**wanted: Any) -> Operation:
        seen.append(wanted["tenant"].slug)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(**wanted)

    monkeypatch.setattr(bulk, "tenant_operate", dies)
    sent = {"tenants": ids(fleet), "verb": "refresh", "form_key": "k"}
    with pytest.raises(KeyboardInterrupt):
        browse(owner).post(HERE, sent)
    monkeypatch.setattr(bulk, "tenant_operate", real)
    assert outcomes() == {"acme": "queued", "hooli": "waiting", "umbrella": "waiting"}

    where = f"{HERE}{BulkRequest.objects.get().id}/"
    cut = Page(browse(teammate).get(where))
    assert "2 tenants were not asked yet" in cut.text
    assert "Ask the rest" not in cut.text
    assert browse(teammate).post(where).status_code == 403
    assert "Ask the rest" in Page(browse(owner).get(where)).text
    assert browse(owner).post(where)["Location"] == where

    assert outcomes() == {"acme": "queued", "hooli": "queued", "umbrella": "queued"}
    assert Operation.objects.filter(kind="refresh").count() == 3
    assert browse(owner).post(HERE, sent)["Location"] == where
    assert Operation.objects.filter(kind="refresh").count() == 3


def test_a_label_is_set_beside_the_others_and_taken_off(
    owner: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    client = browse(owner)
    Tenant.objects.filter(slug="acme").update(labels={"tier": "gold"})
    Tenant.objects.filter(slug="hooli").update(labels={"env": "prod"})
    ask = Page(client.get(HERE, {"tenants": ids(fleet), "verb": "label"}))
    assert ask.all("input", name="key")
    sent = {"tenants": ids(fleet), "verb": "label", "key": "env", "value": "prod"}
    assert "hooli is labelled so already" in Page(client.get(HERE, sent)).text

    client.post(HERE, sent)

    assert outcomes() == {"acme": "changed", "hooli": "unchanged", "umbrella": "changed"}
    labels = dict(Tenant.objects.values_list("slug", "labels"))
    assert labels["acme"] == {"tier": "gold", "env": "prod"}
    client.post(HERE, {**sent, "value": ""})
    assert dict(Tenant.objects.values_list("slug", "labels"))["acme"] == {"tier": "gold"}
    wrong = Page(client.get(HERE, {**sent, "key": "No Such Label"}))
    assert wrong.status == 422
    assert "a value at most 200 characters" in wrong.text


def test_a_viewer_looks_and_a_stranger_finds_nothing(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    sent = {"tenants": ids(fleet), "verb": "refresh"}
    before = list(Operation.objects.values("pk", "state"))

    assert browse(teammate).get(HERE, sent).status_code == 403
    assert browse(teammate).post(HERE, sent).status_code == 403
    assert browse(stranger).post(HERE, sent).status_code == 404
    hidden = Page(browse(stranger).get(HERE, sent))
    assert "No tenant is chosen" in hidden.text
    assert "acme" not in hidden.text
    assert browse(None).post(HERE, sent).status_code == 302
    assert list(Operation.objects.values("pk", "state")) == before
    assert BulkRequest.objects.count() == 0

    where = browse(owner).post(HERE, sent)["Location"]
    assert Page(browse(teammate).get(where)).status == 200
    for call in (browse(stranger).get, browse(stranger).post):
        assert call(where).status_code == 404
    listed = Page(browse(teammate).get("/tenants/"))
    assert not listed.all("select", name="verb")
    assert "CSV of selected" in listed.text


def test_a_tenant_of_somebody_else_refuses_the_whole_form(
    owner: Person, stranger: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    theirs, _ = stories.provisioned(stranger.principal, "secret", clock.now())

    assert browse(owner).post(HERE, {"tenants": ids([*fleet, theirs]), "verb": "refresh"}).status_code == 404
    assert asked("refresh") == set()
    rows = browse(owner).get("/tenants/tenants.csv", {"tenant": [theirs.pk, fleet[0].pk]}).content.decode()
    assert [row["slug"] for row in csv.DictReader(io.StringIO(rows))] == ["acme"]


def test_somebody_limited_to_some_tenants_decides_about_those_alone(
    owner: Person, teammate: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    teammate.user.memberships.update(role="operator", tenant_ids=[fleet[0].pk])
    client = browse(teammate)
    assert client.post(HERE, {"tenants": ids(fleet), "verb": "refresh"}).status_code == 404
    where = browse(owner).post(HERE, {"tenants": ids(fleet), "verb": "refresh"})["Location"]
    BulkOutcome.objects.update(state="waiting")

    page = Page(client.get(where))
    assert "acme" in page.text
    assert "hooli" not in page.text
    client.post(where)

    assert outcomes() == {"acme": "queued", "hooli": "waiting", "umbrella": "waiting"}


def test_how_many_is_bounded(
    owner: Person, browse: Browse, fleet: list[Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.portal.bulk.MOST", 2)

    page = Page(browse(owner).post(HERE, {"tenants": ids(fleet), "verb": "refresh"}))

    assert page.status == 422
    assert "At most 2 tenants at a time; 3 are chosen." in page.text
    assert asked("refresh") == set()


def test_nothing_chosen_teaches_how_to_choose(owner: Person, browse: Browse) -> None:
    page = Page(browse(owner).get(HERE, {"tenant": ["x", ""], "verb": "refresh"}))

    assert page.status == 200
    assert "Tick tenants in the list" in page.text
    assert_accessible(page)


def test_a_key_that_was_used_for_something_else_does_nothing(
    owner: Person, browse: Browse, fleet: list[Tenant]
) -> None:
    client = browse(owner)
    client.post(HERE, {"tenants": ids(fleet), "verb": "refresh", "form_key": "k"})

    page = Page(client.post(HERE, {"tenants": ids(fleet), "verb": "preview", "form_key": "k"}))

    assert page.status == 409
    assert "was sent before with something else" in page.text
    assert asked("preview") == set()


def test_the_selected_as_a_file(owner: Person, browse: Browse, fleet: list[Tenant]) -> None:
    answer = browse(owner).get(
        "/tenants/tenants.csv", {"tenant": [fleet[2].pk, fleet[0].pk], "verb": "suspend"}
    )

    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert {row["slug"] for row in rows} == {"acme", "umbrella"}


def test_the_pages_stay_within_their_queries(
    owner: Person, browse: Browse, fleet: list[Tenant], django_assert_max_num_queries: object
) -> None:
    client = browse(owner)
    where = client.post(HERE, {"tenants": ids(fleet), "verb": "refresh"})["Location"]
    for path in (where, f"{HERE}?verb=suspend&tenants={ids(fleet)}"):
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            client.get(path)
