"""A plan before its approval: what it destroys comes first, secrets stay hidden, and a stale one cannot be approved."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.plan_rows import PlanRows
from contracts.planned import SECRET, STATEFUL_RULE
from controlplane.core import clock
from controlplane.core.clock import moment_text
from controlplane.operations import states
from controlplane.operations.causes import CAUSES
from controlplane.operations.models import Operation, Stack
from controlplane.portal.plan_table import plan_table
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person


def _row(op: str, name: str, *diffs: dict[str, Any]) -> dict[str, Any]:
    return {"urn": f"urn:{name}", "type": "local:index:X", "name": name, "op": op, "diffs": list(diffs)}


def _metadata(op: str, diffs: list[str], old: dict[str, Any] | None, new: dict[str, Any] | None) -> Any:
    state = {"old": old and SimpleNamespace(inputs=old), "new": new and SimpleNamespace(inputs=new)}
    return SimpleNamespace(urn="urn:pulumi:s::p::t::n", op=op, detailed_diff=None, diffs=diffs, **state)


def test_what_destroys_comes_first_and_what_stays_is_left_out() -> None:
    plan = [
        _row("same", "a"),
        _row("create", "b"),
        _row("update", "c"),
        _row("replace", "d"),
        _row("delete", "e"),
    ]
    shown = plan_table(plan, [{"rule": STATEFUL_RULE, "urn": "urn:d"}, {"rule": "other", "urn": "urn:e"}])

    assert [(row.sign, row.name, row.loses_data) for row in shown] == [
        ("-", "e", False), ("±", "d", True), ("~", "c", False), ("+", "b", False),
    ]  # fmt: skip


def test_a_property_is_told_by_its_path_and_what_forces_a_replacement_is_marked() -> None:
    (row,) = plan_table(
        [
            _row(
                "replace",
                "d",
                {"path": "volume", "kind": "update-replace"},
                {"path": "tags", "kind": "strange"},
            )
        ],
        [],
    )
    assert [(each.path, each.words, each.forces_replace) for each in row.changes] == [
        ("volume", "changed, replaces the resource", True),
        ("tags", "strange", False),
    ]


@pytest.mark.parametrize(
    ("path", "old", "new", "secret"),
    [
        ("password", {"password": SECRET}, {"password": SECRET}, True),
        ("env", {"env": {"A": "1"}}, {"env": {"A": SECRET}}, True),
        ('env["A.B"]', {"env": {"A.B": SECRET}}, {"env": {}}, True),
        ("users[1].token", {"users": SECRET}, {"users": [{}, {"token": SECRET}]}, True),
        ("users[0].token", None, {"users": [{"token": "open"}, {"token": SECRET}]}, False),
        ("users[7]", None, {"users": []}, False),
        ("size", {"size": 1, "password": SECRET}, {"size": 2, "password": SECRET}, False),
    ],
)
def test_a_secret_that_changes_is_told_and_not_shown(path: str, old: Any, new: Any, secret: bool) -> None:
    rows = PlanRows()
    assert rows.add(_metadata("update", [path], old, new)) == [
        {"path": path, "kind": "update", "secret": secret}
    ]
    (row,) = plan_table(rows.rows, [])
    assert ("value hidden" in row.changes[0].words) is secret


def test_the_page_shows_the_plan_and_what_an_approval_binds_to(owner: Person, browse: Browse) -> None:
    operation = stories.awaiting_approval(owner.principal, "acme", clock.now())[1]
    Operation.objects.filter(pk=operation.pk).update(
        plan=[_row("replace", "db", {"path": "password", "kind": "update-replace", "secret": True})]
    )
    page = Page(browse(owner).get(f"/operations/{operation.id}/"))

    assert_clean(page)
    assert_accessible(page)
    assert "changed, replaces the resource, value hidden" in page.text
    assert "What an approval binds to" in page.text
    assert operation.binding["plan_id"] in page.text
    assert page.all("button", **{"data-busy": "Approving"})


@pytest.mark.parametrize("moved", ["expired", "state"])
def test_a_stale_plan_has_no_approve_button_and_says_what_moved(
    owner: Person, browse: Browse, moved: str
) -> None:
    now = clock.now()
    tenant, operation = stories.awaiting_approval(owner.principal, "acme", now)
    if moved == "expired":
        binding = {**operation.binding, "expires_at": moment_text(now - timedelta(seconds=1))}
        Operation.objects.filter(pk=operation.pk).update(binding=binding)
    else:
        Stack.objects.update_or_create(
            tenant=tenant, defaults={"name": "acme", "state_version": 7, "updated_at": now}
        )
    page = Page(browse(owner).get(f"/operations/{operation.id}/"))

    assert "It can no longer be approved" in page.text
    assert ("another operation changed the stack" in page.text) is (moved == "state")
    assert not page.all("button", **{"data-busy": "Approving"})
    assert page.all("button", **{"data-busy": "Rejecting"})


def test_a_rejection_keeps_its_reason(owner: Person, browse: Browse) -> None:
    operation = stories.awaiting_approval(owner.principal, "acme", clock.now())[1]
    client = browse(owner)
    client.post(f"/operations/{operation.id}/reject/", {"reason": "too dear"})
    operation.refresh_from_db()
    assert operation.state == states.CANCELED
    assert "too dear" in Page(client.get(f"/operations/{operation.id}/")).text


def test_an_open_operation_says_how_long_it_takes_once_three_like_it_have_ended(
    owner: Person, browse: Browse
) -> None:
    now = clock.now()
    for number in range(3):
        stories.provisioned(owner.principal, f"like-{number}", now)
    client = browse(owner)
    _, operation = stories.request(owner.principal, "acme", now)
    assert "going by the last 3 like it" in Page(client.get(f"/operations/{operation.id}/")).text

    step = operation.steps.order_by("index")[0]
    operation.steps.filter(pk=step.pk).update(
        state=states.STEP_RUNNING, started_at=clock.now() - timedelta(hours=2)
    )
    late = Page(client.get(f"/operations/{operation.id}/")).text
    assert "Longer than usual" in late
    assert "The slow step is Plan the change" in late


def test_every_failure_code_has_its_place_with_a_step_and_a_command(
    owner: Person, teammate: Person, browse: Browse
) -> None:
    failed = stories.failed(owner.principal, "acme", clock.now())[1]
    link = f"/help/failures/#{failed.error['code']}"
    assert Page(browse(owner).get(f"/operations/{failed.id}/")).all("a", href=link)
    page = Page(browse(teammate).get("/help/failures/"))
    assert_clean(page)
    assert_accessible(page)
    for cause in CAUSES:
        assert page.all("li", id=cause.code), cause.code
        assert cause.hint in page.text
        assert cause.command in page.text
