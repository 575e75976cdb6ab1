"""Exceptions with an owner and an end, rules of operators' own, and rules that fail."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.planned import PolicyException
from stacks.errors import PolicyBroken
from stacks.policy.evaluate import policy_evaluate
from stacks.policy.files import exceptions_load, rules_load
from stacks.policy.model import Planned, Rule, Violation, rule
from stacks.policy.rules import BUILT_IN
from tests.stacks.policy.planned import planned, resource

TODAY = date(2026, 11, 21)
OPEN = resource("aws:rds/instance:Instance", name="db", publiclyAccessible=True, storageEncrypted=True)


def accepted(**changed: object) -> PolicyException:
    fields = {
        "rule": "no-public-ingress",
        "tenant": "acme",
        "resource": "db",
        "owner": "jane@example.com",
        "reason": "moves next week",
        "expires": TODAY,
    }
    return PolicyException.model_validate({**fields, **changed})


def denials(*exceptions: PolicyException) -> list[str]:
    report = policy_evaluate(planned(OPEN), rules=BUILT_IN, exceptions=exceptions, today=TODAY)
    return [finding.message for finding in report.denied if finding.rule == "no-public-ingress"]


def test_an_exception_accepts_a_finding_and_is_shown_with_it() -> None:
    report = policy_evaluate(planned(OPEN), rules=BUILT_IN, exceptions=[accepted()], today=TODAY)
    found = [finding for finding in report.findings if finding.rule == "no-public-ingress"]
    assert [(each.denies, each.exception) for each in found] == [(False, accepted())]


@pytest.mark.parametrize(
    "other", [{"rule": "tenant-tags"}, {"tenant": "globex"}, {"resource": "cache"}, {"resource": "DB"}]
)
def test_an_exception_for_something_else_accepts_nothing(other: dict[str, str]) -> None:
    assert len(denials(accepted(**other))) == 1


def test_patterns_and_every_tenant() -> None:
    assert denials(accepted(tenant="*", resource="d*")) == []


def test_an_expired_exception_denies_again_and_names_its_owner() -> None:
    (message,) = denials(accepted(expires=date(2026, 11, 20)))
    assert "exception of jane@example.com ended on 2026-11-20" in message


def test_of_two_exceptions_the_longer_one_counts() -> None:
    assert denials(accepted(expires=date(2026, 1, 1)), accepted()) == []


@given(st.dates())
def test_an_exception_holds_through_its_last_day_and_no_longer(expires: date) -> None:
    assert (denials(accepted(expires=expires)) == []) == (expires >= TODAY)


def test_a_rule_that_fails_denies() -> None:
    @rule("broken", "warn")
    def broken(plan: Planned) -> list[Violation]:
        """Fails."""
        raise KeyError("subnets")

    strict = Rule(name="strict", severity="deny", about="x", check=broken.check)
    report = policy_evaluate(planned(OPEN), rules=[strict], exceptions=[], today=TODAY)
    assert [each.message for each in report.denied] == ["the rule itself failed: KeyError: 'subnets'"]


def test_a_rule_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="says nothing of itself"):
        rule("silent", "deny")(lambda plan: [])


OWN = '''
from stacks.policy.model import Violation, rule

@rule("names-are-short", "warn")
def names_are_short(plan):
    """Names have at most three letters."""
    for resource in plan.wanted():
        if len(resource.name) > 3:
            yield Violation(resource, "too long")
'''


def test_operators_add_rules_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.py"
    path.write_text(OWN)
    rules = rules_load([path])
    assert [each.name for each in rules] == [*(each.name for each in BUILT_IN), "names-are-short"]
    long = resource("local:index:PostgresServer", name="postgres-server")
    report = policy_evaluate(planned(long), rules=rules, exceptions=[], today=TODAY)
    assert [(each.rule, each.severity) for each in report.findings] == [("names-are-short", "warn")]
    assert "names-are-short" in report.rules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("x = 1", "defines no rule"),
        (OWN.replace("names-are-short", "tenant-tags"), "tenant-tags, which exists already"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "ours.py"
    path.write_text(text)
    with pytest.raises(PolicyBroken, match=said) as refused:
        rules_load([path])
    assert str(path) in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyBroken, match="is not there"):
        rules_load([tmp_path / "gone.py"])
    with pytest.raises(PolicyBroken, match="cannot be read"):
        exceptions_load(tmp_path / "gone.toml")


EXCEPTION = """
[[exceptions]]
rule = "no-public-ingress"
tenant = "acme"
resource = "db"
owner = "jane@example.com"
reason = "moves next week"
expires = 2026-11-21
"""


def test_exceptions_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "exceptions.toml"
    path.write_text(EXCEPTION)
    assert exceptions_load(path) == [accepted()]


@pytest.mark.parametrize("field", ["owner", "expires", "reason", "resource"])
def test_an_exception_without_a_field_names_it(tmp_path: Path, field: str) -> None:
    path = tmp_path / "exceptions.toml"
    path.write_text("\n".join(line for line in EXCEPTION.splitlines() if not line.startswith(field)))
    with pytest.raises(PolicyBroken, match=rf"exception 1 in .*, field {field}"):
        exceptions_load(path)
