"""Every command line that a page shows is one that the command takes."""

import shlex

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from billing.budgets.models import Budget
from controlplane.cli.main import app
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_budgets import FORM
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
PAGES = (
    "/",
    "/tenants/",
    "/operations/",
    "/access/",
    "/audit/",
    "/keys/",
    "/tenants/acme/",
    "/usage/",
    "/usage/?period=2020-01",
    "/budgets/",
    "/margin/",
    "/margin/?period=2020-01",
    *(
        f"/tenants/acme/{tab}/"
        for tab in ("agents", "snapshots", "settings", "budgets", "cost", "credits", "usage", "billing")
    ),
)


class Lines(Page):
    """The command lines of a page: what is in `code` of a terminal line, or copied by a button."""

    @property
    def commands(self) -> list[str]:
        shown = [found["data-copy"] for found in self.all("button", **{"class": "copy"})]
        shown += [part.split("</code>")[0] for part in self.html.split("<code>")[1:]]
        return [line for line in shown if line.startswith("freehold ")]


def taken(line: str) -> None:
    """Parses it as the command would, without running anything. Raises what the command says of a wrong one."""
    command = get_command(app)
    words = shlex.split(line)[1:]
    while isinstance(command, TyperGroup):
        with command.make_context("freehold", list(words), resilient_parsing=True) as context:
            _, found, words = command.resolve_command(context, list(words))
        assert found is not None, f"No such command: {line}"
        command = found
    command.make_context("freehold", list(words)).close()


def test_the_commands_shown_are_taken(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client = browse(owner)
    shown = {line for path in PAGES for line in Lines(client.get(path)).commands}
    first = Page(client.post("/tenants/acme/budgets/new/", FORM))
    client.post("/tenants/acme/budgets/new/", {**FORM, "previewed": first.value("previewed")})
    shown |= set(Lines(client.get(f"/tenants/acme/budgets/{Budget.objects.get().pk}/")).commands)

    assert len(shown) >= 12
    for line in sorted(shown):
        taken(line)


@pytest.mark.parametrize("wrong", ["freehold margins --all", "freehold budgets list --tenants acme"])
def test_a_command_that_is_not_there_is_found(wrong: str) -> None:
    with pytest.raises(Exception, match="No such"):
        taken(wrong)
