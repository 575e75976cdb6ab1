"""The Snapshots section of a tenant: what it lists, what its forms do, and who sees them."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.snapshots.folders import snapshot_folder
from tests.controlplane.tenants.test_snapshots import taken
from tests.portal.conftest import Browse, Page
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
PATH = "/tenants/acme/snapshots/"


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> None:
    settings.FREEHOLD_HOME = tmp_path


def test_without_snapshots_the_page_says_what_one_is_and_takes_the_first(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    page = Page(client.get(PATH))
    assert "No snapshots" in page.text
    assert "freehold tenants snapshot acme" in page.text

    answer = client.post(f"{PATH}take/", {"form_key": page.value("form_key"), "reason": "before the import"})

    operation = Operation.objects.get(kind=states.SNAPSHOT)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/operations/{operation.id}/")
    assert Snapshot.objects.get().reason == "before the import"


def test_somebody_who_may_only_look_is_told_whom_to_ask(
    owner: Person, browse: Browse, active: Active
) -> None:
    page = Page(browse(person_make("look@example.com", owner.team, roles.VIEWER)).get(PATH))

    assert "Ask an operator of your team" in page.text
    assert page.all("form", action=f"{PATH}take/") == []


def test_a_restore_wants_the_slug_typed_out(owner: Person, browse: Browse, active: Active) -> None:
    snapshot = taken(owner, active[0])
    client = browse(owner)
    page = Page(client.get(PATH))
    assert "before the import" in page.text
    assert "complete" in page.text
    path = f"{PATH}{snapshot.id}/restore/"

    refused = Page(client.post(path, {"confirm": "acne"}))
    assert refused.status == 422
    assert "Type acme to confirm the restore." in refused.text
    assert not Operation.objects.filter(kind=states.RESTORE).exists()

    answer = client.post(path, {"confirm": "acme"})
    operation = Operation.objects.get(kind=states.RESTORE)
    assert operation.arguments == {"snapshot": str(snapshot.id)}
    assert answer.headers["Location"] == f"/operations/{operation.id}/"


def test_a_deleted_snapshot_is_gone_from_the_list_and_from_disk(
    owner: Person, browse: Browse, active: Active, django_capture_on_commit_callbacks: Any
) -> None:
    snapshot = taken(owner, active[0])
    folder = snapshot_folder(tenant_id=active[0].id, snapshot_id=snapshot.id)
    client = browse(owner)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(f"{PATH}{snapshot.id}/delete/", {})

    assert answer.headers["Location"] == PATH
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.sealed_key) == ("deleted", "")
    assert not folder.exists()
    assert "No snapshots" in Page(client.get(PATH)).text
    assert snapshot.removed_at is not None
    assert snapshot.removed_at <= clock.now()
