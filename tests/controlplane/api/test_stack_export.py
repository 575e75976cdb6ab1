"""GET /tenants/{slug}/stack/export: the real CLI reads a real state; no secret leaves, and who took it is on record."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contracts.export import PLACEHOLDER, SECRET_SIGNATURE, SIGNATURE, StackExport
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.job import engine_environment
from controlplane.operations.models import Operation
from controlplane.tenants.lifecycle import stack_secrets_of
from controlplane.tenants.models import Tenant
from tests.stacks.engine import pulumi_command
from tests.support.people import ApiClient, Person

pytestmark = pytest.mark.engine

Acme = tuple[Tenant, Operation]
PATH = "/tenants/acme/stack/export"
PLANTED = "planted-Zq7-do-not-tell"


def secret(value: Any) -> dict[str, str]:
    return {SIGNATURE: SECRET_SIGNATURE, "plaintext": json.dumps(value)}


@pytest.fixture
def backend(tmp_path: Path, settings: Any) -> Path:
    """An empty state backend of the control plane's."""
    (tmp_path / "state").mkdir()
    (tmp_path / "passphrase").write_text("correct horse")
    settings.FREEHOLD_HOME = tmp_path / "home"
    settings.PULUMI_BACKEND_URL = f"file://{tmp_path / 'state'}"
    settings.PULUMI_PASSPHRASE_FILE = tmp_path / "passphrase"
    settings.FREEHOLD_PULUMI = Path(pulumi_command().command).parents[1]
    return tmp_path


@pytest.fixture
def planted(backend: Path, acme: Acme) -> None:
    """A state with a secret of every shape, and one that nobody marked."""
    usage_token = stack_secrets_of(acme[0]).usage_token
    resource = {
        "urn": "urn:pulumi:acme::freehold::local:index:Thing::thing",
        "custom": False,
        "type": "local:index:Thing",
        "inputs": {"size": 3, "password": secret(PLANTED)},
        "outputs": {
            "data": secret({"key": PLANTED, "port": 5432, "tls": True, "none": None}),
            "list": [secret([PLANTED]), "plain"],
            "unmarked": f"token={usage_token};",
        },
    }
    work = backend / "work"
    work.mkdir()
    (work / "Pulumi.yaml").write_text("name: freehold\nruntime: python\n")

    def pulumi(*arguments: str) -> None:
        env = engine_environment(
            pulumi_home=backend / "pulumi", backend_url=f"file://{backend / 'state'}", target="local"
        ) | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(backend / "passphrase")}
        argv = [pulumi_command().command, "--non-interactive", *arguments]
        subprocess.run(argv, cwd=work, env=env, check=True, capture_output=True, timeout=60)

    pulumi("stack", "init", "organization/freehold/acme")
    salt = (work / "Pulumi.acme.yaml").read_text().split("encryptionsalt:")[1].split()[0]
    deployment = {
        "manifest": {"time": "2026-11-01T00:00:00Z", "magic": "", "version": ""},
        "secrets_providers": {"type": "passphrase", "state": {"salt": salt}},
        "resources": [resource],
    }
    (work / "state.json").write_text(json.dumps({"version": 3, "deployment": deployment}))
    pulumi("stack", "import", "--stack", "organization/freehold/acme", "--file", "state.json")


@pytest.mark.usefixtures("planted")
def test_the_state_leaves_without_any_secret(acme: Acme, owner: Person) -> None:
    answer = owner.api().get(PATH)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.content.decode()
    assert PLANTED not in text
    for value in stack_secrets_of(acme[0]).model_dump().values():
        assert value is None or value not in text
    assert "correct horse" not in text

    export = StackExport.model_validate(answer.json())
    given = stack_secrets_of(acme[0]).model_dump()
    assert export.spec.slug == "acme"
    assert export.secrets == sorted(name for name, value in given.items() if value is not None)
    assert export.deployment is not None
    (resource,) = export.deployment["resources"]
    assert resource["inputs"] == {"size": 3, "password": secret(PLACEHOLDER)}
    assert json.loads(resource["outputs"]["data"]["plaintext"]) == {
        "key": PLACEHOLDER,
        "none": None,
        "port": 0,
        "tls": False,
    }
    assert resource["outputs"]["list"] == [secret([PLACEHOLDER]), "plain"]
    assert resource["outputs"]["unmarked"] == f"token={PLACEHOLDER};"


@pytest.mark.usefixtures("planted")
def test_a_key_that_only_reads_operations_may_and_a_stranger_finds_nothing(
    acme: Acme, owner: Person, teammate: Person, stranger: Person
) -> None:
    def key(*scopes: str) -> ApiClient:
        made = api_key_create(
            team_id=owner.team.id, name="ci", scopes=list(scopes), actor="test", now=clock.now()
        )
        return ApiClient(made[1])

    def taken() -> list[str]:
        rows = AuditEvent.objects.filter(action="tenant.stack_exported").order_by("sequence")
        return [row.subject_id for row in rows]

    assert key("operations:read").get(PATH).status_code == 200
    assert teammate.api().get(PATH).status_code == 200
    assert taken() == [str(acme[0].id)] * 2
    assert key("tenants:read").get(PATH).status_code == 403
    assert stranger.api().get(PATH).status_code == 404
    assert ApiClient(None).get(PATH).status_code == 401
    assert len(taken()) == 2


@pytest.mark.usefixtures("backend")
def test_a_tenant_without_a_state_is_told_so(acme: Acme, owner: Person) -> None:
    assert owner.api().get(PATH).json()["deployment"] is None


@pytest.mark.usefixtures("backend")
def test_a_tenant_that_is_gone_has_no_stack(acme: Acme, owner: Person) -> None:
    Tenant.objects.filter(pk=acme[0].pk).update(lifecycle="deprovisioned")
    answer = owner.api().get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_stack")
    assert not AuditEvent.objects.filter(action="tenant.stack_exported").exists()


def test_a_backend_that_does_not_answer_is_no_empty_stack(
    backend: Path, settings: Any, acme: Acme, owner: Person
) -> None:
    settings.PULUMI_BACKEND_URL = f"file://{backend / 'nowhere'}"
    answer = owner.api().get(PATH)
    assert answer.status_code >= 500
    assert answer.json()["code"] == "state_unavailable"
    assert not AuditEvent.objects.filter(action="tenant.stack_exported").exists()
