"""A real runtime behind the tenant `acme`: it takes tokens that the control plane signs for that tenant."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import transaction

from controlplane.core.encryption import encrypt
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import credentials_read, secrets_context
from controlplane.tenants.token_keys import CURRENT, token_jwks, token_key_make
from tests.support.services import RunningPostgres
from tests.tenant_runtime.support import RuntimeProcess, runtime_environment, runtime_started

AGENTS = Path(__file__).parent / "agents" / "agents.toml"


@dataclass(frozen=True)
class TokenRuntime:
    process: RuntimeProcess
    key: str


@pytest.fixture(scope="session")
def token_runtime(
    postgres_server: RunningPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TokenRuntime]:
    key = token_key_make()
    jwks = token_jwks({CURRENT: key})
    assert jwks is not None
    database = postgres_server.create(f"rt_{uuid.uuid4().hex[:12]}", extensions=("vector",))
    environment = runtime_environment(database, RUNTIME_JWT_KEYS=jwks)
    with runtime_started(tmp_path_factory.mktemp("portal-runtime"), environment, manifest=AGENTS) as running:
        running.ingest(
            {"path": "backups.md", "title": "Backups", "text": "Nightly backups are kept for 35 days."}
        )
        yield TokenRuntime(running, key)


@pytest.fixture
def runtime_behind(token_runtime: TokenRuntime) -> Callable[[Tenant], RuntimeProcess]:
    """Puts the runtime behind a tenant named acme, as its stack would have."""

    def behind(tenant: Tenant) -> RuntimeProcess:
        sealed = {**credentials_read(tenant), CURRENT: token_runtime.key}
        with transaction.atomic():
            Tenant.objects.filter(pk=tenant.pk).update(
                runtime_url=token_runtime.process.url,
                sealed_secrets=encrypt(sealed, context=secrets_context(tenant.pk), owner=tenant.pk),
            )
        tenant.refresh_from_db()
        return token_runtime.process

    return behind
