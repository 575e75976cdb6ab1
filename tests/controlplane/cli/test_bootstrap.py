"""The bootstrap's own running of commands."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from controlplane.cli.home import ROOT


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", ROOT / "tools" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for name, value in (("ROOT", tmp_path), ("LOGS", tmp_path / "logs"), ("VENV", tmp_path / ".venv")):
        monkeypatch.setattr(module, name, value)
    return module


def test_a_command_past_its_time_is_ended_with_all_it_started(bootstrap: ModuleType, tmp_path: Path) -> None:
    late = tmp_path / "late"
    script = f"(sleep 2; touch {late}) & sleep 30"
    with pytest.raises(bootstrap.StepError, match="took longer than 1 s"):
        bootstrap.run(["sh", "-c", script], log="slow", label="something slow", timeout_s=1)
    bootstrap.run(["sleep", "1.5"], log="wait", label="waiting")
    assert not late.exists()


def test_a_half_made_environment_is_begun_anew(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run", lambda argv, **_: ran.append(argv))
    bootstrap.venv_make()
    assert ran[0][1:4] == ["-m", "venv", "--clear"]
