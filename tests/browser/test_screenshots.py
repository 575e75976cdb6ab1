"""Pictures of ten pages, as docs/guides/portal.md shows them.

FREEHOLD_SCREENSHOTS=docs/images writes them there; without it they are made all the same, and thrown away.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from controlplane.core import clock
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "portal.md"
#: name of the picture -> what is opened, and the heading that it must show
PICTURES = {
    "overview": ("/", "Overview"),
    "tenants": ("/tenants/", "Tenants"),
    "onboarding": ("/tenants/new/?name=Globex+Corporation&slug=globex&plan=pro", "New tenant"),
    "tenant": ("/tenants/acme/", "Acme Corporation"),
    "operation": ("/operations/{waiting}/", "Provision initech"),
    "failure": ("/operations/{failed}/", "Provision hooli"),
    "usage": ("/tenants/acme/usage/", "Acme Corporation"),
    "billing": ("/tenants/acme/billing/", "Acme Corporation"),
    "budgets": ("/tenants/acme/budgets/", "Acme Corporation"),
    "access": ("/access/", "Members"),
}
#: A page that did not paint is smaller.
LEAST_BYTES = 15_000


@pytest.fixture
def fleet(owner: Person, teammate: Person) -> dict[str, str]:
    # A story takes some minutes: begun now, it would end in what has not happened yet.
    now = clock.now() - timedelta(minutes=10)
    acme, _ = stories.provisioned(owner.principal, "acme", now, name="Acme Corporation", plan="pro")
    for slug, name, plan in (
        ("northwind", "Northwind Traders", "starter"),
        ("contoso", "Contoso Bank", "enterprise"),
        ("tailspin", "Tailspin Toys", "pro"),
    ):
        stories.provisioned(owner.principal, slug, now, name=name, plan=plan)
    _usage(acme, now)
    failed = stories.failed(owner.principal, "hooli", now)[1]
    waiting = stories.awaiting_approval(owner.principal, "initech", now)[1]
    stories.request(owner.principal, "umbrella", now, name="Umbrella Research")
    for name, amount in (("Month", "750"), ("Warning", "250")):
        made = owner.api().post("/tenants/acme/budgets", {"name": name, "amount": amount})
        assert made.status_code == 201, made.content
    return {"waiting": str(waiting.id), "failed": str(failed.id)}


def _usage(tenant: Tenant, now: datetime) -> None:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    days = max(1, (now - first).days)
    events = []
    for number in range(60):
        at = first + timedelta(days=number % days, hours=number % 20) if days > 1 else now
        events.append(stories.model_call("acme", number, min(at, now), tokens=900 + 37 * number))
        events.append(stories.run_end("acme", number, min(at, now)))
    stories.used(tenant, events, now)


def test_pictures_of_ten_pages(
    visit: OpenVisit, owner: Person, fleet: dict[str, str], tmp_path: Path
) -> None:
    folder = Path(os.environ.get("FREEHOLD_SCREENSHOTS", tmp_path))
    here = visit(color_scheme="light", viewport={"width": 1280, "height": 860})
    page = here.sign_in(owner)
    for name, (path, heading) in PICTURES.items():
        page.goto(here.address + path.format(**fleet))
        page.get_by_role("heading", level=1, name=heading).wait_for()
        page.evaluate("document.fonts.ready")
        picture = folder / f"portal-{name}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > LEAST_BYTES, f"{path} is nearly empty"


def test_the_guide_shows_each_of_them() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"(../images/portal-{name}.png)" in guide, name
        assert (GUIDE.parent.parent / "images" / f"portal-{name}.png").is_file(), name
