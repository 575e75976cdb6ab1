"""A tenant's life in a cluster: the real Pulumi CLI, a real apiserver and scheduler, machines that are played."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from pulumi import automation as auto

from contracts.names import name_of
from contracts.placement import KubernetesPlacement
from contracts.stack import GpuSize, PostgresSize, StackOutputs, StackSpec
from stacks.reading import pod_spec
from stacks.targets import target_program
from tests.stacks.engine import Engine
from tests.stacks.monitor import registered
from tests.stacks.placements import cloud_secrets, cloud_spec, cluster_settings
from tests.support.cluster.running import Cluster
from tests.support.providers.kubernetes.server import provider_folder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


class Site:
    """Stacks of tenants in the test's cluster."""

    def __init__(self, engine: Engine, cluster: Cluster) -> None:
        self.engine, self.cluster = engine, cluster
        folder = provider_folder(engine.home / "providers")
        engine.environment["PATH"] = f"{folder}{os.pathsep}{engine.environment['PATH']}"

    def spec(self, slug: str = "acme", **changes: Any) -> StackSpec:
        place = KubernetesPlacement(
            kubeconfig=str(self.cluster.kubeconfig), cluster=cluster_settings(storage_class="standard")
        )
        return cloud_spec("kubernetes", slug, **{"kubernetes": place, **changes})

    def nodes_of(self, spec: StackSpec) -> dict[str, str | None]:
        """Pod of the tenant -> the machine it was put on."""
        return {pod.metadata.name: pod.spec.node_name for pod in self.cluster.pods(name_of(spec.slug))}


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Iterator[Site]:
    before = cluster.namespaces()
    cluster.gpu_node_add("gpu-acme-1", tenant="acme", gpus=1)
    cluster.gpu_node_add("gpu-acme-2", tenant="acme", gpus=1)
    cluster.gpu_node_add("gpu-globex-1", tenant="globex", gpus=1)
    yield Site(Engine.at(tmp_path / "home"), cluster)
    for name in ("gpu-acme-1", "gpu-acme-2", "gpu-globex-1"):
        cluster.node_remove(name)
    assert cluster.namespaces() - before == set(), "the test left namespaces behind"


def changes(result: auto.UpResult | auto.DestroyResult) -> dict[str, int]:
    return dict(result.summary.resource_changes or {})


def test_a_tenant_lives_in_a_cluster_and_leaves_nothing(site: Site) -> None:
    spec = site.spec()
    stack = site.engine.stack(spec)
    planned = stack.preview().change_summary
    wanted = len(registered(target_program(spec, cloud_secrets())).resources)
    # One more than the program asks for: the stack itself.
    assert planned == {"create": wanted + 1}

    made = stack.up()
    assert changes(made) == planned
    assert stack.preview().change_summary == {"same": wanted + 1}
    outputs = StackOutputs.model_validate(made.outputs["outputs"].value)
    assert outputs.runtime_url == "http://runtime.fh-acme.svc.cluster.local"
    assert {each.meter for each in outputs.billable} == {"gpu_hours", "runtime_hours", "database_hours"}
    for name in ("postgres_url", "redis_url", "vector_url", "runtime_admin_key"):
        assert made.outputs[name].secret, name

    _only_gpu_pods_on_gpu_nodes(site, spec)
    _the_walls_hold(site, spec)

    grown = site.engine.stack(site.spec(gpu=GpuSize(count=2)))
    assert changes(grown.up()) == {"update": 2, "same": wanted - 1}, "quota and model server"
    assert {"gpu-acme-1", "gpu-acme-2"} <= set(site.nodes_of(spec).values())

    bigger = site.spec(gpu=GpuSize(count=2), postgres=PostgresSize(storage_gb=40))
    summary = site.engine.stack(bigger).preview().change_summary
    assert summary == {"update": 1, "replace": 1, "same": wanted - 1}, (
        "the volume cannot grow in a StatefulSet"
    )

    asleep = site.engine.stack(spec.model_copy(update={"suspended": True, "gpu": GpuSize(count=2)}))
    asleep.up()
    running = site.nodes_of(spec)
    assert {name.rpartition("-")[0] for name in running} == {"postgres", "cache", "vector-store"}

    awake = site.engine.stack(site.spec(gpu=GpuSize(count=2)))
    awake.up()
    assert any(name.startswith("model-server-") for name in site.nodes_of(spec))

    assert changes(awake.destroy()).keys() == {"delete"}
    assert _left(site, "acme") == []


def _only_gpu_pods_on_gpu_nodes(site: Site, spec: StackSpec) -> None:
    """The real scheduler put the model server on the tenant's GPU node, and nothing else there."""
    nodes = site.nodes_of(spec)
    assert nodes["model-server-0"] in ("gpu-acme-1", "gpu-acme-2")
    others = {node for name, node in nodes.items() if not name.startswith("model-server")}
    assert others
    assert all(str(node).startswith("cpu-") for node in others), nodes


def _the_walls_hold(site: Site, spec: StackSpec) -> None:
    """What the apiserver itself refuses in a tenant's namespace."""
    namespace = name_of(spec.slug)
    privileged = {
        "metadata": {"name": "breakout"},
        "spec": {
            "containers": [{"name": "shell", "image": "shell", "securityContext": {"privileged": True}}]
        },
    }
    with pytest.raises(ApiException, match="violates PodSecurity"):
        site.cluster.core.create_namespaced_pod(namespace, privileged)
    door = {
        "metadata": {"name": "door"},
        "spec": {"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "b"}},
    }
    with pytest.raises(ApiException, match="exceeded quota"):
        site.cluster.core.create_namespaced_service(namespace, door)


def test_nobody_else_gets_onto_a_tenants_gpu_nodes(site: Site) -> None:
    """Globex asks for two GPUs and has one machine with one: acme's idle machines are no help."""
    spec = site.spec("globex")
    server = next(
        each.after
        for each in registered(target_program(spec, cloud_secrets("globex"))).resources
        if each.name == "model-server-set"
    )
    assert server is not None
    pod = dict(pod_spec(server))
    for name in ("initContainers", "volumes", "priorityClassName"):
        pod.pop(name)
    container = {**pod["containers"][0], "volumeMounts": [], "env": []}
    for name in ("one", "two"):
        manifest = {"metadata": {"name": name}, "spec": {**pod, "containers": [container]}}
        site.cluster.core.create_namespaced_pod("default", manifest)
    try:
        site.cluster.wait(lambda: _on(site, "gpu-globex-1"), "one pod on the machine of globex")
        why = site.cluster.wait(lambda: _unscheduled(site), "the other to be refused")
        assert "didn't match Pod's node affinity/selector" in why
        assert "Insufficient nvidia.com/gpu" in why
    finally:
        for name in ("one", "two"):
            site.cluster.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)


def _on(site: Site, node: str) -> bool:
    return any(pod.spec.node_name == node for pod in site.cluster.pods("default"))


def _unscheduled(site: Site) -> str:
    for pod in site.cluster.pods("default"):
        for condition in pod.status.conditions or []:
            if condition.reason == "Unschedulable":
                return str(condition.message)
    return ""


def _left(site: Site, slug: str) -> list[str]:
    """Everything with the tenant's label, in namespaces and outside."""
    from kubernetes import client

    label, api = f"freehold.dev/tenant={slug}", site.cluster.api
    core = site.cluster.core
    found = [
        *core.list_namespace(label_selector=label).items,
        *core.list_persistent_volume_claim_for_all_namespaces(label_selector=label).items,
        *client.SchedulingV1Api(api).list_priority_class(label_selector=label).items,
    ]
    volumes = [
        volume
        for volume in core.list_persistent_volume().items
        if volume.spec.claim_ref and volume.spec.claim_ref.namespace == name_of(slug)
    ]
    site.cluster.wait(lambda: not _volumes_of(site, slug), "the volumes to go with their claims")
    return [f"{each.kind} {each.metadata.name}" for each in found] + [
        each.metadata.name for each in volumes if each.metadata.name in _volumes_of(site, slug)
    ]


def _volumes_of(site: Site, slug: str) -> list[str]:
    return [
        volume.metadata.name
        for volume in site.cluster.core.list_persistent_volume().items
        if volume.spec.claim_ref and volume.spec.claim_ref.namespace == name_of(slug)
    ]
