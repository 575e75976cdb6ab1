"""What `make bench` measures of crashes: run by benchmarks/crash.py through pytest, for its databases.

The report at FREEHOLD_CRASH_REPORT is one JSON document a line. Any loss fails the run: there is no figure then.
"""

import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.operations import states
from controlplane.operations.models import Operation, OperationEvent
from controlplane.tenants.models import Tenant
from tests.crash.asking import SLUG, ask
from tests.crash.world import World
from tests.support.people import Person

pytestmark = [
    pytest.mark.engine,
    pytest.mark.crash,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(7200),
]

VICTIMS = ("worker", "worker", "runner", "cli", "provider", "postgres")
#: What a life goes through between provision and deprovision.
LIFE = ("update", "suspend", "resume", "update", "refresh")


@dataclass(frozen=True)
class Wanted:
    seed: int = int(os.environ.get("FREEHOLD_CRASH_SEED", "1"))
    kills: int = int(os.environ.get("FREEHOLD_CRASH_KILLS", "100"))
    zombies: int = int(os.environ.get("FREEHOLD_CRASH_ZOMBIES", "50"))
    takeovers: int = int(os.environ.get("FREEHOLD_CRASH_TAKEOVERS", "10"))


WANTED = Wanted()


def report(**line: Any) -> None:
    with Path(os.environ["FREEHOLD_CRASH_REPORT"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def test_random_kills(world: World, owner: Person) -> None:
    chance = random.Random(WANTED.seed)  # noqa: S311 - repeatable on purpose
    life: list[str] = []
    done = 0
    while done < WANTED.kills:
        if not life:
            life = ["provision", *LIFE, "deprovision"]
        kind = life.pop(0)
        world.trace_clear()
        crash = world.strike(
            lambda kind=kind: ask(kind, owner),  # type: ignore[misc]
            after_s=chance.uniform(0, 7),
            victim=chance.choice(VICTIMS),
        )
        tenant = Tenant.objects.filter(slug=SLUG).latest("created_at")
        wrong = world.violations(tenant, crash=crash)
        assert wrong == [], crash.line()
        if kind == "provision":
            world.row_write(tenant)
        elif kind != "deprovision":
            assert world.row_there(tenant), crash.line()
        # A kill that met nobody, before the runner began or after it ended, is none.
        if crash.reached:
            done += 1
            report(
                what="kill",
                kind=kind,
                victim=crash.victim,
                recovery_s=crash.finished_s,
                attempts=crash.attempts,
                retried=crash.retried,
            )


@pytest.mark.parametrize("world", ["no_process_end"], indirect=True)
def test_zombies(world: World, owner: Person) -> None:
    world.wait_end(ask("provision", owner))
    for _ in range(WANTED.zombies):
        zombie = world.zombie(lambda: ask("update", owner), point="provider.update.cache.begin")
        assert (zombie.operation.state, zombie.state_moved) == (states.SUCCEEDED, False), (
            zombie.operation.error
        )
        assert world.violations(Tenant.objects.get(slug=SLUG)) == []
        report(what="zombie", refusals=zombie.refusals)


@pytest.mark.parametrize("world", [{"lease_s": 15}], indirect=True)
def test_takeovers(world: World, owner: Person) -> None:
    world.wait_end(ask("provision", owner))
    for _ in range(WANTED.takeovers):
        (world.root / "points" / "provider.update.cache.begin.armed").touch()
        operation = ask("update", owner)
        pid = world.wait_reached("provider.update.cache.begin", operation)
        assert pid is not None
        world.kill("worker", pid)
        killed = time.monotonic()
        (world.root / "points" / "provider.update.cache.begin.reached").unlink(missing_ok=True)
        report(what="takeover", next_step_s=_next_step(operation) - killed)
        world.wait_end(operation)


def _next_step(operation: Operation) -> float:
    """When the next attempt began its first step, on the monotonic clock."""
    begun = OperationEvent.objects.filter(operation=operation, type="step", data__state="running")
    before = begun.count()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if begun.count() > before:
            return time.monotonic()
        time.sleep(0.05)
    raise AssertionError("nobody took the operation over")
