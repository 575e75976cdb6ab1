"""`freehold members` and `freehold keys rotate`, against the API itself."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from controlplane.accounts.models import ApiKey, Invitation, Membership
from controlplane.cli import commands_members
from controlplane.cli.client import Api, Credentials
from controlplane.cli.main import app
from tests.controlplane.cli.test_budgets import Behind
from tests.support.people import Person


@pytest.fixture
def freehold(owner: Person, acme: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    api = Api(Credentials("http://freehold/api/v1", owner.key))
    api._client = httpx.Client(base_url="http://freehold/api/v1", transport=Behind(owner.api()))
    monkeypatch.setattr(commands_members, "api_connect", lambda: api)

    def run(*arguments: str) -> Any:
        found = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
        if "--json" in arguments and found.exit_code == 0:
            return json.loads(found.stdout)
        return found

    return run


def test_people_are_invited_listed_changed_and_removed(freehold: Any, teammate: Person) -> None:
    made = freehold(
        "members", "invite", "Ada@example.com", "--role", "operator", "--tenant", "acme", "--json"
    )
    assert made["email"] == "ada@example.com"
    assert "/join/" in made["url"]
    printed = freehold("members", "invite", "ada@example.com").stdout
    assert "/join/" in printed.splitlines()[0], "the link alone is on the standard output"

    listed = freehold("members", "list", "--json")
    assert [row["email"] for row in listed["invitations"]] == ["ada@example.com"]
    assert {row["email"] for row in listed["members"]} == {"olivia@example.com", "tom@example.com"}
    assert "tom@example.com" in freehold("members", "list").stdout

    assert (
        freehold("members", "change", "TOM@example.com", "--role", "operator", "--json")["role"] == "operator"
    )
    assert freehold("members", "remove", "tom@example.com").exit_code == 0
    assert not Membership.objects.filter(user=teammate.user).exists()
    assert freehold("members", "remove", "tom@example.com").exit_code != 0


def test_an_invitation_gets_a_fresh_link(freehold: Any) -> None:
    made = freehold("members", "invite", "ada@example.com", "--json")

    again = freehold("members", "resend", "Ada@example.com", "--json")

    assert again["id"] == made["id"]
    assert again["url"] != made["url"]
    printed = freehold("members", "resend", "ada@example.com").stdout
    assert "/join/" in printed.splitlines()[0], "the link alone is on the standard output"
    unknown = freehold("members", "resend", "nobody@example.com")
    assert unknown.exit_code != 0
    assert Invitation.objects.count() == 1


def test_a_key_is_rotated(freehold: Any, owner: Person) -> None:
    key = ApiKey.objects.get(name=owner.user.email)

    made = freehold("keys", "rotate", str(key.pk), "--overlap-hours", "2", "--json")

    assert made["api_key"].startswith(made["prefix"])
    key.refresh_from_db()
    assert key.expires_at is not None
