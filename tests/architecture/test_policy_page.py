"""The guide lists every rule of policy with its severity."""

import re
from pathlib import Path

from stacks.policy.rules import BUILT_IN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "policy-and-cost.md"


def test_the_guide_lists_the_rules() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (deny|warn) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(rule.name, rule.severity) for rule in BUILT_IN]
