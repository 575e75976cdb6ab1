"""`freehold credits | costs | margin` against the API over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer
from typer.testing import CliRunner

from controlplane.cli.errors import CliError, UsageFailure
from controlplane.cli.main import app
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.feeds import cur, tag
from tests.support.people import Person


@pytest.fixture
def freehold(
    transactional_db: None,
    live_server: LiveServer,
    owner: Person,
    acme: tuple[Tenant, Operation],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv("FREEHOLD_API_URL", live_server.url)
    monkeypatch.setenv("FREEHOLD_API_KEY", owner.key)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_credits_from_the_command_line(freehold: Any) -> None:
    made = json.loads(
        freehold("credits", "add", "acme", "99.50", "--name", "Welcome", "--source", "promotion", "--json")
    )
    assert (made["remaining"], made["source"]) == ("99.5", "promotion")
    assert "balance 99.5 USD" in freehold("credits", "list", "acme")
    assert json.loads(freehold("credits", "void", "acme", made["id"], "--json"))["state"] == "voided"
    with pytest.raises(CliError, match="amount"):
        freehold("credits", "add", "acme", "0.001", "--name", "x")


def test_a_bill_and_the_margin_from_the_command_line(freehold: Any, tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(
        cur({"line_item_unblended_cost": "30"}, {"line_item_unblended_cost": "6", "resource_tags": tag("")})
    )
    assert json.loads(freehold("costs", "import", str(path), "--dry-run", "--json"))["posted"] == {
        "USD": "36"
    }
    assert json.loads(freehold("costs", "import", str(path), "--json"))["fresh"]
    assert not json.loads(freehold("costs", "import", str(path), "--json"))["fresh"]
    assert "30.00" in freehold("costs", "show", "acme", "--period", "2026-11")
    shown = freehold("margin", "acme", "--period", "2026-11")
    assert "-36.00" in shown
    fleet = freehold("margin", "--all", "--period", "2026-11")
    assert [row.split()[0] for row in fleet.splitlines()[2:]] == ["acme", "all"]
    for wrong in (("margin",), ("margin", "acme", "--all")):
        with pytest.raises(UsageFailure):
            freehold(*wrong)
