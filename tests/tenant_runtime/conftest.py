"""One shared runtime for what does not harm it; tests that kill or restart start their own."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tests.tenant_runtime.a2a_alone  # noqa: F401 - before anything loads the application
from tests.support.services import RunningPostgres, RunningRedis
from tests.tenant_runtime.access.signing import ISSUER, JWKS
from tests.tenant_runtime.support import (
    USAGE_TOKEN,
    RuntimeProcess,
    UsageSink,
    runtime_environment,
    runtime_started,
    usage_sink,
)

DOCUMENTS = [
    {
        "path": "handbook/backups.md",
        "title": "Backups",
        "text": "# Backups\n\nA full backup of every database runs each night at two o'clock UTC.\n\n"
        "## Retention\n\nNightly backups are kept for 35 days. Monthly backups are kept for seven years.\n\n"
        "## Restore\n\nOnly the operations team may start a restore. A restore takes about 40 minutes.",
    },
    {
        "path": "handbook/travel.md",
        "title": "Travel policy",
        "text": "# Travel policy\n\nEmployees fly economy on routes shorter than six hours.\n\n"
        "Hotel costs are refunded up to 180 euros per night. Receipts must be handed in within 30 days.",
    },
    {
        "path": "handbook/security.md",
        "title": "Security",
        "text": "# Security\n\nLaptops are encrypted with a key that the vault keeps.\n\n"
        "Lost devices must be reported to the security desk within one hour.",
    },
]


@pytest.fixture(scope="session")
def new_database(postgres_server: RunningPostgres) -> Callable[[], str]:
    return lambda: postgres_server.create(f"rt_{uuid.uuid4().hex[:12]}", extensions=("vector",))


@pytest.fixture(scope="session")
def sink() -> Iterator[UsageSink]:
    with usage_sink() as running:
        yield running


@pytest.fixture(scope="session")
def runtime_database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="session")
def test_agents() -> Path:
    return Path(__file__).parent / "agents" / "agents.toml"


@pytest.fixture(scope="session")
def runtime(
    tmp_path_factory: pytest.TempPathFactory,
    runtime_database: str,
    redis_server: RunningRedis,
    sink: UsageSink,
    test_agents: Path,
) -> Iterator[RuntimeProcess]:
    environment = runtime_environment(
        runtime_database,
        RUNTIME_REDIS_URL=redis_server.url(),
        RUNTIME_USAGE_URL=sink.url,
        RUNTIME_USAGE_TOKEN=USAGE_TOKEN,
        RUNTIME_JWT_KEYS=JWKS,
        RUNTIME_JWT_ISSUER=ISSUER,
    )
    folder = tmp_path_factory.mktemp("runtime")
    with runtime_started(folder, environment, manifest=test_agents) as running:
        running.ingest(*DOCUMENTS)
        yield running
