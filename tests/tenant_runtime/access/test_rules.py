"""Every route has a rule and a place in the table of the three people; nothing else lets anybody in."""

import pytest

from tenant_runtime.access.principals import ROLES, Principal, user_id_valid
from tenant_runtime.access.rules import RULES, rule_of
from tenant_runtime.access.visibility import owner_filter
from tests.tenant_runtime.access.routes import BODIES, LISTS, NAMING, NOBODYS, Place, filled, owned, routes

EXAMPLES = {
    "assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca",
    "namespace": "inner",
    "model": "slow",
    "agent": "slow",
    "agent_id": "slow",
    "key_id": "9a1b6f6e-7d3c-4a5f-9a6b-1f6f0f3c2d11",
    **dict.fromkeys(
        ("thread_id", "run_id", "checkpoint_id", "cron_id", "response_id", "id", "push_id"),
        "1efb9c1e-0000-6000-8000-000000000000",
    ),
}


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_route_has_a_rule(method: str, path: str) -> None:
    assert rule_of(method, filled(path, EXAMPLES)) is not None, "add it to RULES in access/rules.py"


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_route_says_whose_rows_it_shows(method: str, path: str) -> None:
    place: Place = (method, path)
    placed = [owned(path), place in LISTS, place in NAMING, place in NOBODYS, path.startswith("/admin")]
    assert any(placed), "add it to the table in tests/tenant_runtime/access/routes.py"


def test_the_table_names_no_route_that_is_gone() -> None:
    assert {*BODIES, *LISTS, *NAMING, *NOBODYS} <= set(routes())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "//live"),
        ("GET", "/live/"),
        ("POST", "/live"),
        ("GET", "/administer"),
        ("GET", "/v2"),
        ("GET", "/v1/"),
    ],
)
def test_what_is_in_no_rule_is_closed(method: str, path: str) -> None:
    assert rule_of(method, path) is None


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "/live", None),
        ("GET", "/info", set(ROLES)),
        ("GET", "/metrics", {"admin", "operator", "developer", "auditor"}),
        ("GET", "/admin/audit", {"admin", "auditor"}),
        ("POST", "/admin/audit", {"admin"}),
        ("GET", "/admin/runs", {"admin", "operator", "auditor"}),
        ("GET", "/admin/runs/x", {"admin", "operator", "auditor"}),
        ("GET", "/admin/runs/x/y", {"admin"}),
        ("DELETE", "/admin/runs/x", {"admin"}),
        ("POST", "/admin/keys", {"admin"}),
        ("POST", "/threads/search", {"admin", "operator", "developer", "user"}),
        ("POST", "/documents", {"admin", "operator", "developer"}),
        ("POST", "/assistants/search", {"admin", "operator", "developer", "user"}),
        ("POST", "/assistants", {"admin", "operator", "developer"}),
        ("DELETE", "/assistants/x", {"admin", "operator", "developer"}),
        ("POST", "/assistants/x/latest", {"admin", "operator", "developer"}),
    ],
)
def test_which_roles_may_what(method: str, path: str, roles: set[str] | None) -> None:
    rule = rule_of(method, path)
    assert rule is not None
    assert rule.roles == roles


def test_only_what_must_be_open_is_open() -> None:
    assert [rule.path.pattern for rule in RULES if rule.roles is None] == [
        r"/live|/ready|/ping",
        r"/triggers/[^/]+",
        r"(/a2a/[^/]+)?/\.well-known/agent-card\.json",
    ]


def test_whose_rows_each_role_sees() -> None:
    seen = {role: owner_filter(Principal("x", role)) for role in ROLES}
    assert seen == {"admin": None, "operator": None, "developer": "x", "user": "x", "auditor": "x"}
    assert owner_filter(Principal("x", "developer"), "crons") is None
    assert owner_filter(Principal("x", "user"), "crons") == "x"


@pytest.mark.parametrize("value", ["ada", "ada@example.com", "user:7", "a" * 200])
def test_users_a_key_may_stand_for(value: str) -> None:
    assert user_id_valid(value)


@pytest.mark.parametrize(
    "value", ["", "admin", "bootstrap", "runtime", "key:1", " a", "a b", "a\n", "ä", "a" * 201]
)
def test_users_no_key_may_stand_for(value: str) -> None:
    assert not user_id_valid(value)
