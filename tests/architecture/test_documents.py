"""The documents: short enough to be read, with links that lead somewhere, and true to the code where it can tell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_LINES = 150
GENERATED = {"docs/configuration.md"}
#: A changelog grows by its nature.
UNBOUNDED = {"CHANGELOG.md"}
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile("(?<![A-Za-z0-9_.>*-])/" + "(?:work|root)/")
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("proxy", "golang", "org"),
            ("crates", "io"),
        )
    )
)
LOCK_FILES = ("uv.lock", "go.sum")


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_a_page_can_be_read_in_one_sitting(page: Path) -> None:
    if _name(page) in GENERATED | UNBOUNDED:
        return
    lines = len(page.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{_name(page)} has {lines} lines; split it or say less"


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = [
        target
        for target in _LINK.findall(text)
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.split("#")[0]).exists()
    ]
    assert not broken, f"{_name(page)} links to what is not there: {broken}"


def test_architecture_names_every_room(tracked: list[Path]) -> None:
    rooms = {path.relative_to(ROOT).parts[0] for path in tracked if len(path.relative_to(ROOT).parts) > 1}
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    missing = sorted(room for room in rooms if f"`{room}/" not in text)
    assert not missing, f"ARCHITECTURE.md says nothing of {missing}"


def test_the_index_names_every_decision() -> None:
    folder = ROOT / "docs" / "adr"
    text = (folder / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in sorted(folder.glob("0*.md")) if path.name not in text]
    assert not missing, f"docs/adr/README.md does not list {missing}"


def test_the_configuration_page_is_what_the_readers_say() -> None:
    printed = subprocess.run(
        [sys.executable, "tools/configuration_table.py"],
        cwd=ROOT,
        # Settings of the caller must not leak into the page.
        env={"PATH": os.environ["PATH"], "FREEHOLD_HOME": "elsewhere", "FREEHOLD_PORT": "9999"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert printed == kept, "docs/configuration.md is out of date: run make schema"


def test_no_file_names_a_machine_or_a_registry(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        if path.name in LOCK_FILES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{_name(path)}:{number}: {match[0]}"
            for number, line in enumerate(text.splitlines(), start=1)
            for match in (*MACHINE_PATHS.finditer(line), *REGISTRIES.finditer(line))
        ]
    assert not found, "\n".join(found)
