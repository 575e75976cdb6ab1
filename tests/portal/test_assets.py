"""Vendored and own assets: complete, unchanged, and within their budgets."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
BUDGET_CSS = 25 * 1024
BUDGET_JS = 30 * 1024


def packed(paths: list[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in paths)


def test_vendored_files_are_the_recorded_ones() -> None:
    answer = subprocess.run([sys.executable, ROOT / "tools" / "vendor-assets", "--check"], check=False)
    assert answer.returncode == 0


def test_each_vendored_package_has_its_licence() -> None:
    for folder in (STATIC / "vendor").iterdir():
        if folder.is_dir():
            assert (folder / "LICENSE").stat().st_size > 100, folder.name


def test_stylesheets_and_scripts_stay_small() -> None:
    assert packed(list((STATIC / "portal").rglob("*.css"))) < BUDGET_CSS
    scripts = [*(STATIC / "portal").rglob("*.js"), *(STATIC / "vendor").rglob("*.js")]
    assert packed(scripts) < BUDGET_JS


def test_icons_that_are_used_exist() -> None:
    sprite = (STATIC / "vendor" / "lucide" / "icons.svg").read_text()
    known = set(re.findall(r'<symbol id="([a-z0-9-]+)"', sprite))
    used: set[str] = set()
    for template in (ROOT / "templates").rglob("*.html"):
        used |= set(re.findall(r'{% icon "([a-z0-9-]+)"', template.read_text()))
    for module in (ROOT / "controlplane" / "portal").rglob("*.py"):
        used |= set(re.findall(r'Look\("[a-z]+", "([a-z0-9-]+)"', module.read_text()))
        used |= set(re.findall(r'^        \*?\[?\(?"([a-z0-9-]+)", f?"', module.read_text(), re.MULTILINE))
    assert used - known == set()


def test_colours_are_named_in_one_place_and_nothing_comes_from_elsewhere() -> None:
    for sheet in (STATIC / "portal" / "css").glob("*.css"):
        text = sheet.read_text()
        assert "http" not in text
        if sheet.name != "tokens.css":
            assert re.findall(r"light-dark|#[0-9a-f]{3,8}|rgb\(", text) == [], sheet.name
            used = set(re.findall(r"var\((--[a-z0-9-]+)", text))
            tokens = set(
                re.findall(r"^ *(--[a-z0-9-]+):", (sheet.parent / "tokens.css").read_text(), re.MULTILINE)
            )
            assert used - tokens == set(), sheet.name
