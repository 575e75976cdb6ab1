"""Settling what a killed run had begun: pure decisions on exported states."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.operations.settling import pending_settle

STACK = {"urn": "urn:pulumi:t::p::pulumi:pulumi:Stack::p-t", "custom": False, "type": "pulumi:pulumi:Stack"}


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:t::p::local:index:X::{name}",
        "custom": True,
        "type": "local:index:X",
        "inputs": {"name": name},
        "parent": STACK["urn"],
        **more,
    }


def name_of(wanted: Mapping[str, Any]) -> str:
    return str(wanted["inputs"]["name"])


def exported(pending: list[dict[str, Any]], *resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 3,
        "deployment": {"manifest": {}, "resources": [STACK, *resources], "pending_operations": pending},
    }


def creating(name: str) -> dict[str, Any]:
    return {"type": "creating", "resource": resource(name)}


def test_nothing_pending_changes_nothing() -> None:
    assert pending_settle(exported([]), find=lambda *_: "id").deployment is None
    assert pending_settle({"version": 3}, find=lambda *_: "id").deployment is None


def test_what_exists_is_adopted_with_its_inputs_and_what_does_not_is_dropped() -> None:
    there = {"a": "/data/a"}
    state = exported([creating("a"), creating("b")], resource("c", id="/data/c", outputs={}))
    settled = pending_settle(state, find=lambda wanted, _: there.get(wanted["inputs"]["name"]))
    assert settled.deployment is not None
    deployment = settled.deployment["deployment"]
    assert "pending_operations" not in deployment
    assert [r["urn"].rpartition("::")[2] for r in deployment["resources"]] == ["p-t", "c", "a"]
    assert deployment["resources"][-1]["id"] == "/data/a"
    assert deployment["resources"][-1]["outputs"] == {"name": "a"}
    assert (len(settled.adopted), len(settled.dropped)) == (1, 1)
    assert "of 2 unfinished steps 1 had been done" in settled.sentence()


def test_updates_and_deletions_are_left_to_the_refresh() -> None:
    old = resource("a", id="/data/a", outputs={"name": "a"})
    pending = [{"type": kind, "resource": resource("a", id="/data/a")} for kind in ("updating", "deleting")]
    settled = pending_settle(exported(pending, old), find=lambda *_: "/elsewhere")
    assert settled.deployment is not None
    assert settled.deployment["deployment"]["resources"] == [STACK, old]


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.sets(st.sampled_from("abcdef")))
def test_settling_never_doubles_a_resource_and_never_settles_twice(names: list[str], there: set[str]) -> None:
    state = exported([creating(name) for name in names], resource("a", id="/data/a", outputs={}))
    settled = pending_settle(
        state, find=lambda wanted, _: f"/{name_of(wanted)}" if name_of(wanted) in there else None
    )
    if settled.deployment is None:
        assert names == []
        return
    urns = [r["urn"] for r in settled.deployment["deployment"]["resources"]]
    assert len(urns) == len(set(urns))
    adopted = {urn.rpartition("::")[2] for urn in settled.adopted}
    assert adopted == (set(names) & there) - {"a"}
    assert pending_settle(settled.deployment, find=lambda *_: "x").deployment is None
