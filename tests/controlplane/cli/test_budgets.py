"""`freehold budgets`, `freehold reports links` and `freehold usage report --all`, against the API itself."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from controlplane.cli import commands_budgets, commands_usage
from controlplane.cli.client import Api, Credentials
from controlplane.cli.commands_budgets import threshold_read
from controlplane.cli.main import app
from tests.support.people import ApiClient, Person


class Behind(httpx.BaseTransport):
    """Hands the command line's requests to Django."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/api/v1")
        body = request.content.decode() or None
        # The host is the test client's own to say.
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = self._client(request.method, path, body, headers=headers)
        return httpx.Response(answer.status_code, content=answer.content, headers=dict(answer.headers))


@pytest.fixture
def freehold(owner: Person, acme: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    api = Api(Credentials("http://freehold/api/v1", owner.key))
    api._client = httpx.Client(base_url="http://freehold/api/v1", transport=Behind(owner.api()))
    for module in (commands_budgets, commands_usage):
        monkeypatch.setattr(module, "api_connect", lambda: api)

    def run(*arguments: str) -> Any:
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
        if "--json" in arguments and found.exit_code == 0:
            return json.loads(found.stdout)
        return found

    return run


@pytest.mark.parametrize("whose", [("--tenant", "acme"), ()])
def test_a_budget_is_set_shown_changed_and_deleted(freehold: Any, whose: tuple[str, ...]) -> None:
    made = freehold(
        "budgets", "set", *whose, "--amount", "500", "--threshold", "80:forecast",
        "--threshold", "100:actual:alert+block_runs", "--email", "a@example.com", "--json",
    )  # fmt: skip
    assert made["amount"] == "500.00"
    assert [(t["percent"], t["on"], t["actions"]) for t in made["thresholds"]] == [
        ("80", "forecast", ["alert"]), ("100", "actual", ["alert", "block_runs"]),
    ]  # fmt: skip
    changed = freehold("budgets", "set", *whose, "--id", made["id"], "--amount", "0.01", "--json")
    assert (changed["status"]["state"], changed["emails"]) == ("exceeded", ["a@example.com"])
    shown = freehold("budgets", "show", *whose, made["id"]).stdout
    assert "exceeded" in shown
    assert "block_runs" in shown
    assert made["id"] in freehold("budgets", "list", *whose).stdout
    assert freehold("budgets", "delete", *whose, made["id"], "--json")["deleted"]
    assert freehold("budgets", "list", *whose, "--json") == []


def test_a_secret_is_shown_once(freehold: Any) -> None:
    hook = ("--webhook", "https://hooks.example.com/in")
    said = freehold("budgets", "set", "--amount", "5", *hook).stdout
    assert "whsec_" in said
    assert "whsec_" not in freehold("budgets", "list").stdout


def test_what_is_missing_or_does_not_fit_is_said(freehold: Any) -> None:
    assert "how much" in str(freehold("budgets", "set").exception)
    assert "keeps its currency" in str(freehold("budgets", "set", "--id", "x", "--currency", "EUR").exception)
    assert "Say of whom" in str(freehold("usage", "report").exception)
    assert "Say of whom" in str(freehold("usage", "report", "acme", "--all").exception)
    refused = freehold("budgets", "set", "--amount", "5", "--threshold", "x")
    assert "thresholds" in str(refused.exception)


def test_links_are_made_listed_and_ended(freehold: Any) -> None:
    made = freehold("reports", "links", "create", "acme", "--label", "Ada", "--days", "7", "--json")
    assert "/shared/usage/" in made["url"]
    assert "Ada" in freehold("reports", "links", "list", "acme").stdout
    assert freehold("reports", "links", "revoke", "acme", made["id"], "--json")["revoked"]
    (row,) = freehold("reports", "links", "list", "acme", "--json")
    assert row["state"] == "revoked"


def test_schedules_are_made_paused_and_deleted(freehold: Any) -> None:
    made = freehold(
        "reports", "schedules", "create", "--tenant", "acme", "--cadence", "weekly", "--format", "csv",
        "--email", "a@example.com", "--webhook", "https://hooks.example.com/in", "--json",
    )  # fmt: skip
    assert (made["tenant"], made["cadence"], made["active"]) == ("acme", "weekly", True)
    assert made["webhook_secret"].startswith("whsec_")
    listed = freehold("reports", "schedules", "list").stdout
    assert made["id"][:8] in listed
    assert "whsec_" not in listed
    assert not freehold("reports", "schedules", "pause", made["id"], "--json")["active"]
    assert "Next on" in freehold("reports", "schedules", "resume", made["id"]).output
    assert freehold("reports", "schedules", "delete", made["id"], "--json")["deleted"]
    assert freehold("reports", "schedules", "list", "--json") == []
    assert (
        "whsec_" in freehold("reports", "schedules", "create", "--webhook", "https://a.example.com/").stdout
    )
    assert "cadence" in str(
        freehold("reports", "schedules", "create", "--cadence", "daily", "--email", "a@b.co").exception
    )


def test_the_report_of_all_tenants(freehold: Any, tmp_path: Any) -> None:
    report = freehold("usage", "report", "--all", "--json")
    assert [row["tenant"] for row in report["tenants"]] == ["acme"]
    assert (
        f"estimated total {report['totals'][0]['estimated_total']} USD"
        in freehold("usage", "report", "--all").stdout
    )
    file = tmp_path / "fleet.pdf"
    freehold("usage", "report", "--all", "--format", "pdf", "--output", str(file))
    assert file.read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", {"percent": "80"}),
        ("80%", {"percent": "80"}),
        ("80:forecast", {"percent": "80", "on": "forecast"}),
        (
            "100:actual:alert+block_runs",
            {"percent": "100", "on": "actual", "actions": ["alert", "block_runs"]},
        ),
    ],
)
def test_a_threshold_is_one_word(text: str, wanted: dict[str, Any]) -> None:
    assert threshold_read(text) == wanted
