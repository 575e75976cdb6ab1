"""Programs that tests build from Go modules: built once, anew when what they are built from changes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from controlplane.cli.home import ROOT

#: Stands in for `go`: writes the program it was asked for, and counts.
FAKE_GO = """#!/bin/sh
echo built >> "$(dirname "$0")/count"
while [ "$1" != "-o" ]; do shift; done
[ "${FAIL:-}" ] && { echo "undefined: everything"; exit 1; }
echo program > "$2"
"""


@pytest.fixture
def gotools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in ("bootstrap", "gotools_under_test"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("gotools_under_test", ROOT / "tools" / "gotools.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "bootstrap", raising=False)
    go = tmp_path / "go"
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    folder = tmp_path / "tools" / "thing"
    folder.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (folder / name).write_text("one\n")
    monkeypatch.setattr(module, "BIN", tmp_path / "bin")
    for name, value in (("ROOT", tmp_path), ("LOGS", tmp_path / "logs"), ("go_find", lambda: str(go))):
        monkeypatch.setattr(module.bootstrap, name, value)
    return module


def thing(gotools: ModuleType, linked: str = "") -> object:
    return gotools.Program(
        name="thing", module="thing", package="example.com/thing", takes="a moment", linked=linked
    )


def built(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().splitlines())


def test_a_program_is_built_once(gotools: ModuleType, tmp_path: Path) -> None:
    assert [gotools.program_install(thing(gotools)) for _ in range(2)] == [0, 0]
    assert (tmp_path / "bin" / "thing").read_text() == "program\n"
    assert built(tmp_path) == 1


def test_it_is_built_anew_when_its_module_or_its_flags_change(gotools: ModuleType, tmp_path: Path) -> None:
    gotools.program_install(thing(gotools))
    (tmp_path / "tools" / "thing" / "go.sum").write_text("two\n")
    gotools.program_install(thing(gotools))
    assert built(tmp_path) == 2
    gotools.program_install(thing(gotools, linked="-X main.version=2"))
    assert built(tmp_path) == 3


def test_a_failed_build_is_told_and_tried_again(
    gotools: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert gotools.program_install(thing(gotools)) == 1
    assert "undefined: everything" in capfd.readouterr().err
    monkeypatch.delenv("FAIL")
    assert gotools.program_install(thing(gotools)) == 0
