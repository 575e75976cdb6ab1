"""docs/cloud-resources.md: every resource the cloud targets plan, and what has proven it. Written by
`python -m tests.support.resource_table`; a test holds the page to the programs and the stand-ins.
"""

from collections import Counter
from pathlib import Path

from stacks.targets import target_program
from tests.stacks.monitor import registered
from tests.stacks.placements import cloud_secrets, cloud_spec
from tests.support.providers.aws.types import PROVEN_BY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cloud-resources.md"
_TARGETS = ("kubernetes", "aws")
_PROOF = {"moto": "moto", "stand-in store": "plan and stand-in only"}

_HEAD = "| resource | kubernetes | aws | proven by |\n|---|--:|--:|---|\n"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"


def page(text: str) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}{_table()}{_END}{after}"


def _table() -> str:
    counts = {target: _counts(target) for target in _TARGETS}
    rows = [
        f"| `{kind}` | {counts['kubernetes'][kind] or ''} | {counts['aws'][kind] or ''} | {_proof(kind)} |\n"
        for kind in sorted(set(counts["kubernetes"]) | set(counts["aws"]))
    ]
    return _HEAD + "".join(rows)


def _counts(target: str) -> Counter[str]:
    found = registered(target_program(cloud_spec(target), cloud_secrets())).resources
    return Counter(each.type for each in found if each.type.startswith(("aws:", "kubernetes:")))


def _proof(kind: str) -> str:
    return "API server" if kind.startswith("kubernetes:") else _PROOF[PROVEN_BY[kind]]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
