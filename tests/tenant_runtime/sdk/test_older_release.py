"""An older release of the SDK takes the same tour, in an environment of its own below .tools."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.tenant_runtime.support import API_KEY, RuntimeProcess

RELEASE: Final = "0.4.2"
ROOT: Final = Path(__file__).parents[3]
UV: Final = ROOT / ".venv" / "bin" / "uv"


@pytest.fixture(scope="session")
def older_python() -> Path:
    """Installed once; without a package index the test is skipped, and the locked release alone is judged."""
    folder = ROOT / ".tools" / f"langgraph-sdk-{RELEASE}"
    python = folder / "bin" / "python"
    held = (
        subprocess.run([python, "-c", "import langgraph_sdk"], capture_output=True)
        if python.exists()
        else None
    )
    if held is None or held.returncode:
        for argv in (
            [UV, "venv", "--clear", "--quiet", "--python", ROOT / ".venv" / "bin" / "python", folder],
            [UV, "pip", "install", "--quiet", "--python", python, f"langgraph-sdk=={RELEASE}"],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
            if done.returncode:
                pytest.skip(f"langgraph-sdk {RELEASE} cannot be installed here: {done.stderr[-300:]}")
    return python


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_the_tour(older_python: Path, runtime: RuntimeProcess, kind: str) -> None:
    argv = [older_python, "-m", "tour", runtime.url, API_KEY, kind]
    done = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "toured", done.stderr[-3000:]
