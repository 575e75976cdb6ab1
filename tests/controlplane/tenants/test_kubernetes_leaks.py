"""The leak scan of a shared cluster, against a real API server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from contracts.placement import KubernetesPlacement
from controlplane.tenants.leaks import Scan
from controlplane.tenants.leaks.kubernetes import kubernetes_left, kubernetes_restless
from controlplane.tenants.targets_file import TargetsFile
from tests.support.cluster.running import Cluster

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

SLUG, NAMESPACE = "leaky", "fh-leaky"
LABELS = {"freehold.dev/tenant": SLUG}


@pytest.fixture
def place(cluster: Cluster, clouds: TargetsFile) -> Iterator[KubernetesPlacement]:
    """The cluster, with a namespace of the tenant; what a test plants by label is removed after it."""
    assert clouds.kubernetes is not None
    cluster.core.create_namespace({"metadata": {"name": NAMESPACE, "labels": LABELS}})
    cluster.wait(lambda: _has_account(cluster), "the namespace to have its service account")
    yield KubernetesPlacement(kubeconfig=str(cluster.kubeconfig), cluster=clouds.kubernetes.cluster)
    selector = f"freehold.dev/tenant={SLUG}"
    for pod in cluster.pods(NAMESPACE):
        cluster.core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    cluster.core.delete_namespace(NAMESPACE)
    cluster.core.delete_collection_namespaced_config_map("default", label_selector=selector)
    client.RbacAuthorizationV1Api(cluster.api).delete_collection_cluster_role(label_selector=selector)
    cluster.core.delete_collection_persistent_volume(label_selector="planted=here")
    cluster.wait(lambda: NAMESPACE not in cluster.namespaces(), "the namespace to go")


def _has_account(cluster: Cluster) -> bool:
    try:
        return bool(cluster.core.read_namespaced_service_account("default", NAMESPACE))
    except ApiException:
        return False


def left(place: KubernetesPlacement) -> list[str]:
    scan = kubernetes_left(SLUG, place, alive=lambda: None)
    assert scan.failures == []
    return sorted(map(str, scan.leaks))


def pod(name: str, *, part: str, gpus: int = 0) -> dict[str, object]:
    limits = {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}} if gpus else {}
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": part, **LABELS}},
        "spec": {"containers": [{"name": "c", "image": "registry.example.com/c", **limits}]},
    }


def test_what_is_left_is_named_wherever_it_is_and_nobody_elses(
    cluster: Cluster, place: KubernetesPlacement
) -> None:
    assert left(place) == [f"Namespace {NAMESPACE}: Active"]
    cluster.core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "inside", "labels": LABELS}})
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": "stray", "labels": LABELS}})
    other = {"freehold.dev/tenant": "leaky-two"}
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": "theirs", "labels": other}})
    client.RbacAuthorizationV1Api(cluster.api).create_cluster_role(
        {"metadata": {"name": "stray", "labels": LABELS}, "rules": []}
    )
    # A volume has no label of ours; whose it is says its claim.
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/planted"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": NAMESPACE, "name": "data"},
    }
    cluster.core.create_persistent_volume(
        {"metadata": {"name": "planted", "labels": {"planted": "here"}}, "spec": volume}
    )
    # The machines that an operator gave the tenant are the operator's.
    cluster.gpu_node_add("gpu-of-leaky", tenant=SLUG, gpus=1)
    found = left(place)
    cluster.node_remove("gpu-of-leaky")
    cluster.core.delete_namespaced_config_map("theirs", "default")
    assert [line.split(":")[0] for line in found] == [
        "ClusterRole stray",
        "ConfigMap default/stray",
        f"Namespace {NAMESPACE}",
        "PersistentVolume planted",
    ]


def test_a_suspended_tenant_holds_no_gpu_and_runs_no_runtime(
    cluster: Cluster, place: KubernetesPlacement
) -> None:
    cluster.core.create_namespaced_pod(NAMESPACE, pod("database", part="postgres"))
    assert kubernetes_restless(SLUG, place, alive=lambda: None).leaks == []
    cluster.core.create_namespaced_pod(NAMESPACE, pod("runtime", part="runtime"))
    cluster.core.create_namespaced_pod(NAMESPACE, pod("model", part="model-server", gpus=1))
    scan = kubernetes_restless(SLUG, place, alive=lambda: None)
    assert {leak.id for leak in scan.leaks} == {"runtime", "model"}


def test_a_cluster_that_cannot_be_asked_is_not_an_empty_one(
    place: KubernetesPlacement, tmp_path: Path
) -> None:
    def asked(kubeconfig: Path) -> Scan:
        there = place.model_copy(update={"kubeconfig": str(kubeconfig)})
        return kubernetes_left(SLUG, there, alive=lambda: None)

    gone = asked(tmp_path / "gone")
    assert (gone.leaks, gone.asked) == ([], [])
    assert gone.failures[0].startswith("sign-in: ")
    # Its address leads nowhere.
    dead = tmp_path / "dead"
    text = Path(place.kubeconfig).read_text(encoding="utf-8")
    dead.write_text(re.sub(r"server: .*", "server: https://127.0.0.1:1", text))
    assert asked(dead).failures
