"""A tenant of the target `kubernetes` through its life, by the control plane's own verbs: the real CLI, the real API
server and scheduler. Only its runtime's answer is played: no container runs here."""

import os
from pathlib import Path
from typing import Any

import pytest

from controlplane.core import clock
from controlplane.operations import states
from controlplane.tenants import lifecycle
from controlplane.tenants.health import Probe
from controlplane.tenants.services import tenant_delete
from controlplane.tenants.targets_file import TargetsFile
from tests.support.cluster.running import Cluster
from tests.support.house import House, home_prepare
from tests.support.providers.kubernetes.server import provider_folder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture
def house(
    settings: Any,
    tmp_path: Path,
    transactional_db: None,
    cluster: Cluster,
    clouds: TargetsFile,
    monkeypatch: pytest.MonkeyPatch,
) -> House:
    owner = home_prepare(settings, tmp_path)
    assert clouds.kubernetes is not None
    shared = clouds.kubernetes.cluster.model_copy(update={"storage_class": "standard", "model": None})
    there = clouds.kubernetes.model_copy(
        update={"kubeconfig": str(cluster.kubeconfig), "context": None, "cluster": shared}
    )
    settings.FREEHOLD_TARGETS_FILE = clouds.model_copy(update={"kubernetes": there})
    plugins = provider_folder(tmp_path / "plugins")
    monkeypatch.setenv("PATH", str(plugins), prepend=os.pathsep)
    answering = Probe("healthy", "every check passes", [])
    monkeypatch.setattr(lifecycle, "runtime_probe_until", lambda url, **_: answering)
    return House(owner, tmp_path)


def test_from_its_request_to_its_last_leak_scan(house: House, cluster: Cluster) -> None:
    tenant = house.tenant("globex", target="kubernetes")
    assert "fh-globex" in cluster.namespaces()
    assert tenant.lifecycle == "active"
    house.done(tenant, states.SUSPEND)
    house.done(tenant, states.RESUME)
    tenant_delete(principal=house.owner.principal, tenant=tenant, now=clock.now(), skip_final_snapshot=True)
    done = house.run()
    assert (done.state, done.error) == (states.SUCCEEDED, None)
    tenant.refresh_from_db()
    assert tenant.lifecycle == "deprovisioned"
    assert "fh-globex" not in cluster.namespaces()
