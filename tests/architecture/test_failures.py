"""Every code an operation may fail with has a row in the catalogue and one in the runbook."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from controlplane.operations.failures import BY_CODE

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "runbooks" / "failure-codes.md"


def codes_written() -> Iterator[tuple[str, str]]:
    """(code, place) of every error of an operation: {code, title, detail, hint} literals, verifications, and
    errors of the work on data."""
    for path in sorted((ROOT / "controlplane").rglob("*.py")):
        if path.parts[-2] in ("api", "portal", "cli", "config"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Dict):
                keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
                if {"code", "title", "detail", "hint", "resource"} <= keys:
                    pairs = zip(node.keys, node.values, strict=True)
                    value = next(v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "code")
                    if isinstance(value, ast.Constant):
                        yield str(value.value), place
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Verification":
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value), place
    for path in sorted((ROOT / "stacks").rglob("errors.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                assert isinstance(node.value, ast.Constant)
                yield str(node.value.value), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_code_is_in_the_catalogue() -> None:
    written = list(codes_written())
    assert len(written) >= 12, "the walk finds nothing"
    missing = [f"{place}: {code}" for code, place in written if code not in BY_CODE]
    assert not missing, f"add a row to controlplane/operations/causes.py and {PAGE.name}: {missing}"


def test_the_runbook_has_a_row_for_every_code() -> None:
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == set(BY_CODE)
