"""Pages of tenants in clouds say what is otherwise there."""

import pytest

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell", "clouds")


def active(owner: Person, target: str) -> Tenant:
    tenant, _ = tenant_create(
        principal=owner.principal, slug="acme", name="A", plan="pro", target=target, now=clock.now()
    )
    Operation.objects.update(state="succeeded")
    Tenant.objects.update(lifecycle=states.ACTIVE, activated_at=clock.now())
    return tenant


@pytest.mark.parametrize(
    ("target", "keeps", "deletion"),
    [
        ("aws", "RDS keeps backups", "RDS takes a final snapshot of Postgres"),
        ("kubernetes", "by its cluster's own means", "This cannot be undone"),
    ],
)
def test_the_pages_of_snapshots_and_deletion(
    owner: Person, browse: Browse, target: str, keeps: str, deletion: str
) -> None:
    active(owner, target)
    client = browse(owner)
    snapshots = Page(client.get("/tenants/acme/snapshots/"))
    assert keeps in snapshots.text
    assert snapshots.all("form", action="/tenants/acme/snapshots/take/") == []
    assert deletion in Page(client.get("/tenants/acme/settings/")).text
    refused = client.post("/tenants/acme/snapshots/take/", {}, follow=True)
    assert "is not supported on the target" in Page(refused).text
    assert not Operation.objects.filter(kind="snapshot").exists()


def test_a_tenant_is_asked_for_on_any_target_that_is_offered(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    page = Page(client.get("/tenants/new/"))
    for name in ("This machine", "AWS", "Kubernetes cluster"):
        assert name in page.text
    assert "Own None" not in page.text
    client.post(
        "/tenants/new/",
        {"form_key": page.value("form_key"), "name": "G", "slug": "globex", "plan": "pro", "target": "aws"},
    )
    assert Tenant.objects.get().network == "10.64.0.0/16"
