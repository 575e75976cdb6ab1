"""Which program a spec gets."""

from pathlib import Path

import pytest

from stacks.errors import TargetUnknown
from stacks.targets import TARGETS, target_program
from tests.stacks.engine import Engine


@pytest.fixture
def plain_engine(tmp_path: Path) -> Engine:
    return Engine.at(tmp_path / "home")


def test_an_unknown_target_is_refused_with_the_known_ones(plain_engine: Engine) -> None:
    spec = plain_engine.spec("acme", target="mainframe")
    with pytest.raises(TargetUnknown, match=f"'mainframe': choose one of {', '.join(TARGETS)}"):
        target_program(spec, plain_engine.secrets("acme"))


def test_the_local_target_needs_a_placement(plain_engine: Engine) -> None:
    spec = plain_engine.spec("acme", local=None)
    with pytest.raises(TargetUnknown, match="no `local` placement"):
        target_program(spec, plain_engine.secrets("acme"))
