"""A world to break, and the person who asks for things in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from tests.crash.world import World
from tests.support.people import Person, person_make
from tests.support.services import RunningPostgres


@pytest.fixture
def world(
    settings: Any, tmp_path: Path, postgres_server: RunningPostgres, request: pytest.FixtureRequest
) -> Iterator[World]:
    """Parametrized indirectly by the name of a planted bug, or by fields of World."""
    given = getattr(request, "param", None)
    fields = given if isinstance(given, dict) else {"plant": given}
    made = World(tmp_path, postgres_server, settings, **fields)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def owner(world: World) -> Person:
    return person_make("crash@example.com", team_create(name="C", actor="t", now=clock.now()), roles.OWNER)
