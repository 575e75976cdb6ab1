"""What the bar of an operation counts: changes that were made, as many as the plan says there are."""

from typing import Any

from controlplane.operations.progress import MadeChanges


def event(
    name: str, op: str = "create", state: str = "done", phase: str = "up", **more: str
) -> dict[str, Any]:
    kind = more.get("type", "local:index:PostgresServer")
    return {
        "urn": f"urn:{kind}::{name}",
        "name": name,
        "type": kind,
        "op": op,
        "state": state,
        "phase": phase,
    }


def counted(*events: dict[str, Any]) -> int:
    made = MadeChanges()
    for each in events:
        made.add(each)
    return len(made)


def test_a_plan_has_changed_nothing() -> None:
    assert counted(event("postgres", phase="preview"), event("postgres", phase="preview")) == 0


def test_what_began_failed_or_stayed_is_no_change() -> None:
    begun = event("a", state="started"), event("b", state="failed")
    assert counted(*begun, event("c", op="same"), event("d", op="read")) == 0


def test_each_change_counts_once_a_replacement_with_its_halves_too() -> None:
    made = MadeChanges()
    assert [made.add(event("a", op="replace")), made.add(event("a", op="replace"))] == [True, False]
    assert (made.add(event("b", op="delete", phase="destroy")), len(made)) == (True, 2)


def test_the_engines_own_provider_is_not_in_the_plans_sum() -> None:
    own = event("default_1_0_0", type="pulumi:providers:local")
    assert counted(own, event("cluster", type="pulumi:providers:kubernetes")) == 1
