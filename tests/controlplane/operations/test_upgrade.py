"""A runtime changes its release and back with the real engine, without a failed request."""

import shutil
import sys
from pathlib import Path

import httpx
import pytest

from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Stack
from controlplane.tenants.models import Tenant
from controlplane.tenants.releases import release_shipped
from controlplane.tenants.services import tenant_credentials_issue
from stacks.providers.local.host import units_boot, units_halt
from tests.stacks.test_handover import hammering
from tests.support.house import ROOT, House

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

OLD = "0.0.9"


def release_install(home: Path, release: str) -> None:
    """Another release of the runtime, in an environment of its own: this one's code under another number."""
    folder = home / "runtimes" / release
    for package in ("tenant_runtime", "contracts"):
        shutil.copytree(
            ROOT / package, folder / "lib" / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    named = folder / "lib" / "tenant_runtime" / "__init__.py"
    text = named.read_text()
    assert release_shipped() in text
    named.write_text(text.replace(release_shipped(), release))
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "lib"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)


def test_an_upgrade_and_the_way_back_fail_no_request_and_an_update_keeps_the_release(house: House) -> None:
    tenant = house.tenant()
    issued = tenant_credentials_issue(
        principal=house.owner.principal, tenant=tenant, name="t", now=clock.now()
    )

    def running(tenant: Tenant) -> tuple[str, str]:
        """What the runtime says it is, and what we say."""
        answer = httpx.get(f"{tenant.runtime_url}/info", headers={"x-api-key": issued["api_key"]}, timeout=20)
        return answer.raise_for_status().json()["version"], Stack.objects.get(tenant=tenant).program_version

    assert running(tenant) == (release_shipped(), release_shipped())
    release_install(house.home, OLD)
    assert house.done(tenant, states.UPDATE).plan_summary["update"] == 0, "one that is there moves nobody"
    with hammering(f"{tenant.runtime_url}/ready") as failures:
        house.done(tenant, states.UPGRADE, version=OLD)
    assert failures == []
    assert running(tenant) == (OLD, OLD)

    assert house.done(tenant, states.UPDATE).plan_summary["update"] == 0
    units_halt(house.home / "tenants")
    assert [report.error for report in units_boot(house.home / "tenants")] == [None] * 4
    assert running(tenant) == (OLD, OLD), "neither an update nor a restart of the machine changes it"

    house.done(tenant, states.UPGRADE)
    assert running(tenant) == (release_shipped(), release_shipped())
    assert (tenant.lifecycle, tenant.health) == ("active", "healthy")
