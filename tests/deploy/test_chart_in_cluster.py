"""The chart in a real kube-apiserver: accepted field by field, installed, upgraded and removed by the real helm in a
namespace that enforces Pod Security `restricted`. Controllers and scheduler are real, kubelets are played."""

import base64
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.deploy.chart import CHART, EXAMPLES, RELEASE, container, helm, named, pod_specs, rendered
from tests.support.cluster.running import Cluster

pytestmark = pytest.mark.engine

KUBERNETES = CHART / "ci" / "kubernetes-values.yaml"
ENFORCE = "pod-security.kubernetes.io/enforce"
OTHER_DIGEST = "sha256:" + "9" * 64


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Made as the guide says, and gone afterwards."""
    name = f"chart-{secrets.token_hex(4)}"
    cluster.core.create_namespace({"metadata": {"name": name, "labels": {ENFORCE: "restricted"}}})

    def has_account() -> bool:
        accounts = cluster.core.list_namespaced_service_account(name).items
        return any(each.metadata.name == "default" for each in accounts)

    cluster.wait(has_account, "the namespace's account")
    yield name
    cluster.core.delete_namespace(name)


class Answers:
    """The apiserver by plain HTTP: what it says to an object, warnings too."""

    def __init__(self, cluster: Cluster) -> None:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(server["certificate-authority-data"]).decode()
        self.http = httpx.Client(
            base_url=server["server"],
            verify=ssl.create_default_context(cadata=authority),
            headers={"Authorization": f"Bearer {user['token']}"},
            timeout=30,
        )
        self.plurals: dict[tuple[str, str], str] = {}

    def apply(self, manifest: dict[str, Any], namespace: str) -> httpx.Response:
        """A server-side apply that refuses unknown and doubled fields, and changes nothing."""
        version, name = manifest["apiVersion"], manifest["metadata"]["name"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return self.http.patch(
            f"{root}/namespaces/{namespace}/{self.plural(root, manifest['kind'])}/{name}",
            params={"fieldManager": "tests", "fieldValidation": "Strict", "dryRun": "All"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=yaml.safe_dump(manifest),
        )

    def plural(self, root: str, kind: str) -> str:
        if (root, kind) not in self.plurals:
            for each in self.http.get(root).raise_for_status().json()["resources"]:
                if "/" not in each["name"]:
                    self.plurals[root, each["kind"]] = each["name"]
        return self.plurals[root, kind]


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_every_field_is_one_that_kubernetes_knows(cluster: Cluster, namespace: str, values: Path) -> None:
    answers = Answers(cluster)
    for manifest in rendered(values=values):
        answer = answers.apply(manifest, namespace)
        assert answer.status_code in (200, 201), f"{manifest['kind']}: {answer.text}"
        assert "warning" not in answer.headers, answer.headers["warning"]
    # So that this could not pass with any field at all:
    web = named(rendered(values=values), "Deployment", f"{RELEASE}-web")
    refused = answers.apply({**web, "spec": {**web["spec"], "replica": 1}}, namespace)
    assert refused.is_error
    assert ".spec.replica: field not declared" in refused.text


def test_it_is_installed_upgraded_and_removed(cluster: Cluster, namespace: str) -> None:
    own = ["--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig)]
    given = ["-f", str(KUBERNETES), "--wait", "--timeout", "90s"]
    installed = helm("install", RELEASE, str(CHART), *own, *given, timeout_s=120)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "bootstrap_admin --email" in installed.stdout
    assert available(cluster, namespace) == {"web": 2, "worker": 2, "scheduler": 1}
    zones = {pod.spec.node_name for pod in cluster.pods(namespace, "app.kubernetes.io/component=web")}
    assert len(zones) == 2, "both web pods are on one node"

    upgraded = helm(
        "upgrade", RELEASE, str(CHART), *own, *given, "--set", f"image.digest={OTHER_DIGEST}", timeout_s=120
    )
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    cluster.wait(lambda: images(cluster, namespace) == {OTHER_DIGEST}, "the old pods to be gone", 60)
    assert available(cluster, namespace) == {"web": 2, "worker": 2, "scheduler": 1}

    removed = helm("uninstall", RELEASE, *own, "--wait", "--timeout", "60s", timeout_s=90)
    assert removed.returncode == 0, removed.stderr
    cluster.wait(lambda: not cluster.pods(namespace), "the pods to be gone", 60)
    assert not cluster.apps.list_namespaced_deployment(namespace).items
    assert not client.NetworkingV1Api(cluster.api).list_namespaced_network_policy(namespace).items
    assert not client.BatchV1Api(cluster.api).list_namespaced_job(namespace).items


def available(cluster: Cluster, namespace: str) -> dict[str, int]:
    found = cluster.apps.list_namespaced_deployment(namespace).items
    return {
        each.metadata.labels["app.kubernetes.io/component"]: each.status.available_replicas for each in found
    }


def images(cluster: Cluster, namespace: str) -> set[str]:
    return {pod.spec.containers[0].image.partition("@")[2] for pod in cluster.pods(namespace)}


def test_a_pod_with_less_than_the_charts_care_is_refused(cluster: Cluster, namespace: str) -> None:
    spec = pod_specs(rendered(values=KUBERNETES))["scheduler"]
    spec["serviceAccountName"] = "default"
    pod = {"metadata": {"name": "as-the-chart-has-it"}, "spec": spec}
    cluster.core.create_namespaced_pod(namespace, pod, dry_run="All")
    for loosened in (
        {"securityContext": {}},
        {"containers": [{**container(spec), "securityContext": {"allowPrivilegeEscalation": True}}]},
        {"hostPID": True},
    ):
        with pytest.raises(ApiException) as refused:
            cluster.core.create_namespaced_pod(namespace, {**pod, "spec": {**spec, **loosened}})
        assert refused.value.status == 403
        assert "restricted" in refused.value.body
