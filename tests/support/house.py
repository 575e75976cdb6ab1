"""A home for engine tests: the real runner, the real Pulumi CLI and the target `local`, with state in files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.operations import leases, states
from controlplane.operations.executor import operation_execute
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_operate
from embedded.processes import processes_kill
from tests.support.people import Person, person_make
from tests.support.ports import tenant_port_base

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class House:
    """An owner, and what the worker does, called by hand."""

    owner: Person
    home: Path

    def tenant(self, slug: str = "acme", **fields: Any) -> Tenant:
        """A tenant that was provisioned."""
        wanted = {"name": slug, "plan": "starter", "target": "local", **fields}
        tenant, _ = tenant_create(principal=self.owner.principal, slug=slug, now=clock.now(), **wanted)
        operation = self.run()
        assert (operation.state, operation.error) == (states.SUCCEEDED, None)
        tenant.refresh_from_db()
        return tenant

    def ask(self, tenant: Tenant, kind: str, **fields: Any) -> Operation:
        return tenant_operate(
            principal=self.owner.principal, tenant=tenant, kind=kind, now=clock.now(), **fields
        )

    def run(self) -> Operation:
        """Claims the next operation and carries it out."""
        operation = leases.operation_claim(worker="test", now=clock.now())
        assert operation is not None
        operation_execute(operation)
        operation.refresh_from_db()
        return operation

    def done(self, tenant: Tenant, kind: str, **fields: Any) -> Operation:
        """Asks for it, runs it, and wants it to succeed."""
        self.ask(tenant, kind, **fields)
        operation = self.run()
        assert (operation.kind, operation.state, operation.error) == (kind, states.SUCCEEDED, None)
        tenant.refresh_from_db()
        return operation

    def outputs(self, tenant: Tenant) -> dict[str, str]:
        """The secret outputs of its stack, in clear."""
        from controlplane.core.encryption import decrypt
        from controlplane.operations.models import Stack
        from controlplane.operations.record import secret_context

        stack = Stack.objects.get(tenant=tenant)
        return dict(decrypt(stack.secret_outputs, context=secret_context(tenant.pk)))


def home_prepare(settings: Any, home: Path) -> Person:
    """Points the settings at a home of its own, with state in files and ports of its own; its owner."""
    assert (ROOT / ".tools" / "bin" / "pulumi").exists(), "the Pulumi CLI is missing: run `make install`"
    (home / "state").mkdir()
    passphrase = home / "passphrase"
    passphrase.write_text("test")
    settings.FREEHOLD_HOME = home
    settings.FREEHOLD_PULUMI = ROOT / ".tools"
    settings.PULUMI_BACKEND_URL = f"file://{home / 'state'}"
    settings.PULUMI_PASSPHRASE_FILE = passphrase
    settings.FREEHOLD_TENANT_PORT_BASE = tenant_port_base()
    return person_make("run@example.com", team_create(name="R", actor="t", now=clock.now()), roles.OWNER)


@pytest.fixture
def householder(settings: Any, tmp_path: Path, transactional_db: None) -> Iterator[Person]:
    """An owner whose tenants live in a home of their own, with state in files. What runs there at the end is
    killed: a deprovision by the engine would take longer than most of the tests, and has tests of its own."""
    yield home_prepare(settings, tmp_path)
    processes_kill(str(tmp_path))


@pytest.fixture
def house(householder: Person, tmp_path: Path) -> House:
    return House(householder, tmp_path)
