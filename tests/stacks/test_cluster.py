"""The cluster that tests share: what its real parts decide, and that it leaves nothing behind."""

from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from embedded.ports import port_is_free
from embedded.processes import processes_marked
from tests.support.cluster.nodes import GPU, TENANT
from tests.support.cluster.running import Cluster
from tests.support.cluster.volumes import DEFAULT_CLASS

pytestmark = pytest.mark.engine

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")[:40].strip("-")
    return namespace_make(cluster, name)


def namespace_make(cluster: Cluster, name: str, labels: dict[str, str] | None = None) -> str:
    cluster.core.create_namespace({"metadata": {"name": name, "labels": labels or {}}})
    cluster.wait(lambda: _accounts(cluster, name), f"the account of {name}")
    return name


def _accounts(cluster: Cluster, namespace: str) -> list[Any]:
    return list(cluster.core.list_namespaced_service_account(namespace).items)


def gpu_pod(name: str, *, node_of: str, tolerates: str, gpus: int = 1) -> dict[str, Any]:
    """A pod that asks for the nodes of one tenant, with the tolerations of a tenant."""
    resources = {"limits": {GPU: str(gpus)}}
    return {
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {TENANT: node_of},
            "tolerations": [
                {"key": TENANT, "operator": "Equal", "value": tolerates, "effect": "NoSchedule"},
                {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
            ],
            "containers": [{"name": "model", "image": "example/vllm", "resources": resources}],
        },
    }


def test_a_tenants_gpu_nodes_take_its_pods_and_nobody_elses(cluster: Cluster, namespace: str) -> None:
    cluster.gpu_node_add("acme-gpu", tenant="acme", gpus=2)
    try:
        own = gpu_pod("own", node_of="acme", tolerates="acme")
        stranger = gpu_pod("stranger", node_of="acme", tolerates="globex")
        homeless = gpu_pod("homeless", node_of="globex", tolerates="globex")
        greedy = gpu_pod("greedy", node_of="acme", tolerates="acme", gpus=2)
        for pod in (own, stranger, homeless):
            cluster.core.create_namespaced_pod(namespace, pod)
        placed = cluster.wait(lambda: _running(cluster, namespace, "own"), "the tenant's own pod to run")
        assert placed.spec.node_name == "acme-gpu"
        cluster.core.create_namespaced_pod(namespace, greedy)
        told = {name: _unschedulable(cluster, namespace, name) for name in ("stranger", "homeless", "greedy")}
        assert "untolerated taint" in told["stranger"]
        assert "node affinity/selector" in told["homeless"]
        assert "Insufficient nvidia.com/gpu" in told["greedy"]
        assert [pod.metadata.name for pod in cluster.pods(namespace) if pod.spec.node_name] == ["own"]
    finally:
        cluster.core.delete_namespace(namespace)
        cluster.node_remove("acme-gpu")


def test_a_pod_without_gpus_stays_off_the_gpu_nodes(cluster: Cluster, namespace: str) -> None:
    cluster.gpu_node_add("idle-gpu", tenant="acme", gpus=1)
    try:
        pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "example/web"}]}}
        cluster.core.create_namespaced_pod(namespace, pod)
        placed = cluster.wait(lambda: _running(cluster, namespace, "web"), "the pod to run")
        assert placed.spec.node_name.startswith("cpu-")
    finally:
        cluster.core.delete_namespace(namespace)
        cluster.node_remove("idle-gpu")


def test_the_apiserver_refuses_a_pod_that_may_become_root(cluster: Cluster) -> None:
    namespace = namespace_make(cluster, "restricted", RESTRICTED)
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": "example/root"}]}}
    with pytest.raises(ApiException, match=r"violates PodSecurity.*restricted.*runAsNonRoot"):
        cluster.core.create_namespaced_pod(namespace, pod)
    cluster.core.delete_namespace(namespace)


def test_an_account_without_a_role_may_read_nothing(cluster: Cluster, namespace: str) -> None:
    review = {
        "spec": {
            "user": f"system:serviceaccount:{namespace}:default",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "secrets"},
        }
    }
    answer = client.AuthorizationV1Api(cluster.api).create_subject_access_review(review)
    assert answer.status.allowed is False
    cluster.core.delete_namespace(namespace)


def test_a_volume_is_made_for_a_claims_first_pod_and_goes_with_the_claim(
    cluster: Cluster, namespace: str
) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
    }
    cluster.core.create_namespaced_persistent_volume_claim(namespace, claim)
    mounted = {"name": "data", "mountPath": "/data"}
    pod = {
        "metadata": {"name": "store"},
        "spec": {
            "containers": [{"name": "store", "image": "example/store", "volumeMounts": [mounted]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    cluster.core.create_namespaced_pod(namespace, pod)
    cluster.wait(lambda: _running(cluster, namespace, "store"), "the pod with a volume to run")
    bound = cluster.core.read_namespaced_persistent_volume_claim("data", namespace)
    assert (bound.status.phase, bound.spec.storage_class_name) == ("Bound", DEFAULT_CLASS)
    cluster.core.delete_namespaced_pod("store", namespace)
    cluster.core.delete_namespaced_persistent_volume_claim("data", namespace)
    cluster.wait(lambda: not _volume_of(cluster, namespace), "the volume to be gone")
    cluster.core.delete_namespace(namespace)


def test_a_cluster_leaves_no_process_port_or_file() -> None:
    second = Cluster.start()
    folder, programs = second.folder, list(second.programs)
    port = int(second.api.configuration.host.rsplit(":", 1)[1])
    assert [program.name for program in programs] == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    ]
    assert not port_is_free(port)
    second.stop()
    assert port_is_free(port)
    assert not folder.exists()
    assert processes_marked(str(folder)) == []


def _running(cluster: Cluster, namespace: str, name: str) -> Any:
    pod = cluster.core.read_namespaced_pod(name, namespace)
    return pod if pod.status.phase == "Running" else None


def _unschedulable(cluster: Cluster, namespace: str, name: str) -> str:
    """Why the scheduler leaves the pod pending."""

    def ask() -> str:
        pod = cluster.core.read_namespaced_pod(name, namespace)
        found = [each for each in pod.status.conditions or [] if each.type == "PodScheduled"]
        return str(found[0].message) if found and found[0].reason == "Unschedulable" else ""

    return cluster.wait(ask, f"the scheduler's word on {name}")


def _volume_of(cluster: Cluster, namespace: str) -> list[Any]:
    volumes = cluster.core.list_persistent_volume().items
    return [each for each in volumes if each.spec.claim_ref.namespace == namespace]
