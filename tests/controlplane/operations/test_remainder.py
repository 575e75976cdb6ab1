"""What a stopped apply says of itself."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.operations.remainder import remainder_sentence


def change(name: str, op: str = "create") -> dict[str, str]:
    return {"urn": f"urn:{name}", "name": name, "op": op}


def event(name: str, state: str, phase: str = "up") -> dict[str, str]:
    return {"urn": f"urn:{name}", "state": state, "phase": phase}


def test_made_begun_and_not_made_are_told_apart() -> None:
    plan = [
        change("folder"),
        change("postgres"),
        change("cache"),
        change("runtime"),
        {**change("acme"), "type": "pulumi:pulumi:Stack"},
    ]
    events = [event("folder", "started"), event("folder", "done"), event("postgres", "started")]
    events += [event("cache", "started"), event("cache", "failed"), event("runtime", "done", "preview")]
    assert remainder_sentence(plan, events) == (
        "1 of 4 changes were made. Begun, end not reported: postgres. Not made: cache, runtime."
    )


def test_a_long_list_is_cut_and_counted() -> None:
    told = remainder_sentence([change(f"r{n}") for n in range(9)], [])
    assert told == "0 of 9 changes were made. Not made: r0, r1, r2, r3, r4, r5 and 3 more."


def test_without_planned_changes_there_is_nothing_to_say() -> None:
    assert remainder_sentence([change("stack", "same")], [event("stack", "done")]) == ""


@given(st.lists(st.sampled_from(["started", "done", "failed"]), max_size=6), st.integers(0, 6))
def test_each_planned_change_is_counted_once(states: list[str], untouched: int) -> None:
    plan = [change(f"r{n}") for n in range(len(states) + untouched)]
    told = remainder_sentence(plan, [event(f"r{n}", state) for n, state in enumerate(states)])
    assert told.startswith(f"{states.count('done')} of {len(plan)} changes") or not plan
    assert ("Begun" in told) == ("started" in states)
    assert ("Not made" in told) == (untouched > 0 or "failed" in states)
