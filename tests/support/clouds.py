"""An installation that offers clouds too: the targets file is the documentation's example."""

from pathlib import Path
from typing import Any

import pytest

from controlplane.tenants.targets_file import TargetsFile, targets_file_read

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "targets.toml"
#: Of the example.
HOME_ACCOUNT = "111122223333"
CUSTOMER = "444455556666"
ROLE = f"arn:aws:iam::{CUSTOMER}:role/freehold"


def example_write(folder: Path, *changes: tuple[str, str]) -> Path:
    """The example with a kubeconfig that is there, and with the changes given."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1")
    text = EXAMPLE.read_text(encoding="utf-8").replace("/etc/freehold/kubeconfig/config", str(kubeconfig))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "targets.toml"
    path.write_text(text)
    return path


@pytest.fixture
def clouds(settings: Any, tmp_path: Path) -> TargetsFile:
    """Offers local, aws and kubernetes."""
    settings.FREEHOLD_TARGETS = ["local", "aws", "kubernetes"]
    settings.FREEHOLD_TARGETS_FILE = targets_file_read(example_write(tmp_path))
    file: TargetsFile = settings.FREEHOLD_TARGETS_FILE
    return file
