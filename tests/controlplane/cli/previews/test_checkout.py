"""The checkout's planner is another program: what it is given, what it must not see, and what of it is told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.cli.errors import CliError
from controlplane.cli.previews.checkout import Checkout, exports_plan, exports_read

#: Answers with its environment's names and the tenant it was asked about; fails for one that is called so.
PLANNER = """
import json, os, sys
export = json.loads(sys.stdin.read())
if export["spec"]["slug"] == "broken":
    sys.exit("SyntaxError: invalid syntax (cache.py, line 1)")
print("noise", file=sys.stderr)
row = {"urn": "u", "type": "t", "name": export["spec"]["slug"] + "-db", "op": "update", "diffs": [{"path": "size"}]}
cost = {"monthly_before": "1.00", "monthly_after": "2.00", "currency": "USD", "unknown": 0}
policy = {"denied": False, "rules": [], "findings": []}
print(json.dumps({"resources": [row], "cost": cost, "policy": policy, "environment": sorted(os.environ)}))
"""


def export(slug: str, **labels: str) -> dict[str, Any]:
    return {"spec": {"slug": slug, "labels": labels}, "secrets": [], "deployment": None}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    package = tmp_path / "stacks" / "preview"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "__main__.py").write_text(PLANNER)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return Checkout(tmp_path)


def test_each_export_is_planned_and_a_failure_holds_up_no_other(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FREEHOLD_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "fh_do_not_pass_this_on")
    monkeypatch.setenv("FREEHOLD_PRICE_TABLES", "prices.toml")
    refused = {**export("gone"), "error": "gone is deprovisioned: it has no stack to plan."}
    told: list[str] = []
    plans = exports_plan(
        [export("acme", environment="production"), export("broken"), refused],
        checkout=checkout,
        timeout_s=60,
        told=told.append,
    )
    acme, broken, gone = (each.preview for each in plans)
    assert [change.name for change in acme.changes] == ["TENANT-db"]
    assert (acme.production, acme.error) == (True, "")
    assert broken.error == "SyntaxError: invalid syntax (cache.py, line 1)"
    assert gone.error.startswith("gone is deprovisioned")
    assert told == ["1 of 3: acme", "2 of 3: broken", "3 of 3: gone"]

    seen = plans[0].plan["environment"]
    assert "FREEHOLD_PRICE_TABLES" in seen
    assert not {"FREEHOLD_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"} & set(seen)


def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is not a checkout"):
        exports_plan([export("acme")], checkout=Checkout(tmp_path), timeout_s=1, told=print)


def test_a_checkout_without_an_environment_says_how_to_make_one(checkout: Checkout) -> None:
    checkout.python.unlink()
    with pytest.raises(CliError, match="no environment yet") as refused:
        checkout.require()
    assert "tools/bootstrap.py" in refused.value.hint


def test_exported_files_are_read_by_name_or_all(tmp_path: Path) -> None:
    for slug in ("acme", "globex"):
        (tmp_path / f"{slug}.json").write_text(json.dumps(export(slug)))
    assert [each["spec"]["slug"] for each in exports_read(tmp_path, None)] == ["acme", "globex"]
    assert [each["spec"]["slug"] for each in exports_read(tmp_path, ["globex"])] == ["globex"]


@pytest.mark.parametrize("text", ["", "[]", '{"spec": 3}', "{}"])
def test_a_file_that_is_no_export_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "acme.json").write_text(text)
    with pytest.raises(CliError, match=r"acme\.json cannot be read"):
        exports_read(tmp_path, ["acme"])


def test_an_empty_folder_plans_nothing_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="holds no exported stack"):
        exports_read(tmp_path, None)
