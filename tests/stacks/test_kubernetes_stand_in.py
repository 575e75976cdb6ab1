"""The stand-in for the Kubernetes provider, driven by the real Pulumi CLI against a real apiserver."""

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pulumi import automation as auto

from tests.stacks.engine import Engine
from tests.support.cluster.running import Cluster
from tests.support.cluster.stages import WAITING
from tests.support.providers.kubernetes.server import provider_folder

#: Each test is a dozen runs of the CLI, which take seconds each on a busy machine.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = "stand-in"
PASSWORD = "open sesame"
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
CONTAINED = {
    "allow_privilege_escalation": False,
    "capabilities": {"drop": ["ALL"]},
    "run_as_non_root": True,
    "seccomp_profile": {"type": "RuntimeDefault"},
}

Declare = Callable[[pulumi.ResourceOptions], None]


class Bench:
    """A stack whose program is `declare`, with the provider pointed at the cluster."""

    def __init__(self, engine: Engine, cluster: Cluster) -> None:
        self.engine, self.cluster = engine, cluster
        folder = provider_folder(engine.home / "providers")
        engine.environment["PATH"] = f"{folder}{os.pathsep}{engine.environment['PATH']}"
        self.warnings: list[str] = []

    def stack(self, declare: Declare, **options: Any) -> auto.Stack:
        def program() -> None:
            given = {"kubeconfig": str(self.cluster.kubeconfig), "enable_secret_mutable": True, **options}
            declare(pulumi.ResourceOptions(provider=kubernetes.Provider("cluster", **given)))

        work_dir = self.engine.home / "work"
        work_dir.mkdir(exist_ok=True)
        return auto.create_or_select_stack(
            stack_name=f"organization/{PROJECT}/one",
            project_name=PROJECT,
            program=program,
            opts=auto.LocalWorkspaceOptions(
                work_dir=str(work_dir),
                env_vars=self.engine.environment,
                pulumi_command=self.engine.command,
                project_settings=auto.ProjectSettings(name=PROJECT, runtime="python"),
            ),
        )

    def heard(self, event: auto.EngineEvent) -> None:
        """Keeps warnings, for `on_event`."""
        if event.diagnostic_event is not None and event.diagnostic_event.severity == "warning":
            self.warnings.append(event.diagnostic_event.message)


@pytest.fixture
def bench(tmp_path: Path, cluster: Cluster) -> Iterator[Bench]:
    before = cluster.namespaces()
    bench = Bench(Engine.at(tmp_path / "home"), cluster)
    yield bench
    assert cluster.namespaces() - before == set(), "the test left namespaces behind"


def product(
    replicas: int = 1, service: str = "store", password: str = PASSWORD, storage: str = "1Gi"
) -> Declare:
    """A small product in a namespace of its own, as a tenant has it."""

    def declare(options: pulumi.ResourceOptions) -> None:
        namespace = kubernetes.core.v1.Namespace(
            "namespace", metadata={"name": "stand-in", "labels": RESTRICTED}, opts=options
        )
        inside = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[namespace]))

        def named(name: str) -> dict[str, Any]:
            return {"name": name, "namespace": "stand-in"}

        kubernetes.core.v1.ResourceQuota(
            "quota", metadata=named("quota"), spec={"hard": {"pods": "20", "requests.cpu": "4"}}, opts=inside
        )
        kubernetes.networking.v1.NetworkPolicy(
            "default-deny",
            metadata=named("default-deny"),
            spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
            opts=inside,
        )
        kubernetes.core.v1.ConfigMap(
            "settings", metadata=named("settings"), data={"level": "info"}, opts=inside
        )
        kubernetes.core.v1.Secret(
            "keys",
            metadata=named("keys"),
            string_data={"password": pulumi.Output.secret(password)},
            opts=inside,
        )
        kubernetes.core.v1.Service(
            "store",
            metadata=named("store"),
            spec={"cluster_ip": "None", "selector": {"app": "store"}, "ports": [{"port": 5432}]},
            opts=inside,
        )
        kubernetes.apps.v1.StatefulSet(
            "store",
            metadata=named("store"),
            spec={
                "service_name": service,
                "replicas": 1,
                "selector": {"match_labels": {"app": "store"}},
                "template": pods("store", mounts=[{"name": "data", "mount_path": "/data"}]),
                "volume_claim_templates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "access_modes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": storage}},
                        },
                    }
                ],
            },
            opts=inside,
        )
        web = kubernetes.apps.v1.Deployment(
            "web",
            metadata=named("web"),
            spec={
                "replicas": replicas,
                "selector": {"match_labels": {"app": "web"}},
                "template": pods("web"),
            },
            opts=inside,
        )
        kubernetes.core.v1.Service(
            "web",
            metadata=named("web"),
            spec={"selector": {"app": "web"}, "ports": [{"port": 80, "target_port": 8080}]},
            opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=[web])),
        )

    return declare


def pods(app: str, *, mounts: Any = None, annotations: Any = None, **spec: Any) -> dict[str, Any]:
    """A template that PodSecurity's level `restricted` takes."""
    container = {
        "name": app,
        "image": f"example/{app}",
        "security_context": CONTAINED,
        "resources": {"requests": {"cpu": "0.25", "memory": "1024Mi"}},
        "volume_mounts": mounts or [],
    }
    metadata = {"labels": {"app": app}, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


ALL = 11  # the nine objects, the provider, and the stack itself


def test_a_product_in_a_namespace_is_made_changed_repaired_and_removed(
    bench: Bench, cluster: Cluster
) -> None:
    stack = bench.stack(product())
    assert stack.preview().change_summary == {"create": ALL}
    assert "stand-in" not in cluster.namespaces()

    assert stack.up().summary.resource_changes == {"create": ALL}
    assert {pod.metadata.name.split("-")[0]: pod.status.phase for pod in cluster.pods("stand-in")} == {
        "store": "Running",
        "web": "Running",
    }
    claim = cluster.core.read_namespaced_persistent_volume_claim("data-store-0", "stand-in")
    assert claim.status.phase == "Bound"
    _check_no_plaintext(stack, bench)
    assert stack.preview().change_summary == {"same": ALL}
    # What the apiserver writes in its own way, 0.25 CPU and 1024Mi, is no drift.
    assert stack.refresh().summary.resource_changes == {"same": ALL}

    changed = bench.stack(product(replicas=2, password="changed"))
    assert changed.preview().change_summary == {"same": ALL - 2, "update": 2}
    assert changed.up().summary.resource_changes == {"same": ALL - 2, "update": 2}
    assert len(cluster.pods("stand-in", "app=web")) == 2

    moved = bench.stack(product(replicas=2, password="changed", service="other"))
    assert moved.preview().change_summary == {"same": ALL - 1, "replace": 1}
    assert moved.up().summary.resource_changes == {"same": ALL - 1, "replace": 1}
    assert cluster.apps.read_namespaced_stateful_set("store", "stand-in").spec.service_name == "other"

    assert moved.destroy().summary.resource_changes == {"delete": ALL}
    assert "stand-in" not in cluster.namespaces()


def test_a_change_by_hand_shows_and_is_taken_back_only_when_the_program_says_so(
    bench: Bench, cluster: Cluster
) -> None:
    def declare(options: pulumi.ResourceOptions) -> None:
        namespace = kubernetes.core.v1.Namespace("namespace", metadata={"name": "drift"}, opts=options)
        kubernetes.core.v1.ConfigMap(
            "settings",
            metadata={"name": "settings", "namespace": namespace.metadata["name"]},
            data={"level": "info"},
            opts=options,
        )
        kubernetes.core.v1.ServiceAccount(
            "account", metadata={"name": "account", "namespace": namespace.metadata["name"]}, opts=options
        )

    stack = bench.stack(declare, enable_config_map_mutable=True)
    stack.up()
    cluster.core.patch_namespaced_config_map("settings", "drift", {"data": {"level": "debug"}})
    cluster.core.delete_namespaced_service_account("account", "drift")
    refreshed = stack.refresh().summary.resource_changes
    assert refreshed == {"same": 3, "update": 1, "delete": 1}
    with pytest.raises(auto.CommandError, match=r"conflict.*enable_patch_force"):
        stack.up()
    forced = bench.stack(declare, enable_config_map_mutable=True, enable_patch_force=True)
    forced.up()
    assert cluster.core.read_namespaced_config_map("settings", "drift").data == {"level": "info"}
    assert cluster.core.read_namespaced_service_account("account", "drift")
    assert forced.preview().change_summary == {"same": 5}
    forced.destroy()


def test_an_object_of_somebody_else_is_not_taken_over(bench: Bench, cluster: Cluster) -> None:
    cluster.core.create_namespace({"metadata": {"name": "taken"}})

    def declare(options: pulumi.ResourceOptions) -> None:
        kubernetes.core.v1.Namespace("namespace", metadata={"name": "taken"}, opts=options)

    stack = bench.stack(declare)
    with pytest.raises(auto.CommandError, match="Namespace taken exists already"):
        stack.up()
    stack.destroy()
    assert "taken" in cluster.namespaces()
    cluster.core.delete_namespace("taken")
    cluster.wait(lambda: "taken" not in cluster.namespaces(), "the namespace to go")


def test_the_apiservers_rules_speak_in_a_preview(bench: Bench, cluster: Cluster) -> None:
    """Fields that do not exist, a pod that may become root, a pod beyond the quota; a template is only warned of."""

    def namespace(options: pulumi.ResourceOptions) -> None:
        made = kubernetes.core.v1.Namespace(
            "namespace", metadata={"name": "rules", "labels": RESTRICTED}, opts=options
        )
        kubernetes.core.v1.ResourceQuota(
            "quota",
            metadata={"name": "quota", "namespace": made.metadata["name"]},
            spec={"hard": {"requests.nvidia.com/gpu": "0"}},
            opts=options,
        )

    def with_one(make: Callable[[pulumi.ResourceOptions], object]) -> auto.Stack:
        def declare(options: pulumi.ResourceOptions) -> None:
            namespace(options)
            make(options)

        return bench.stack(declare)

    meta = {"name": "one", "namespace": "rules"}
    rooted = {"containers": [{"name": "one", "image": "example/one"}]}
    contained = pods("one")["spec"]["containers"][0]
    hungry = {"containers": [{**contained, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    bench.stack(namespace).up()

    misspelt = with_one(lambda options: _misspelt_deployment(meta, options))
    with pytest.raises(auto.CommandError, match=r"\.spec\.replica: field not declared in schema"):
        misspelt.preview()
    with pytest.raises(auto.CommandError, match="violates PodSecurity"):
        with_one(lambda each: kubernetes.core.v1.Pod("one", metadata=meta, spec=rooted, opts=each)).preview()
    with pytest.raises(auto.CommandError, match=r"exceeded quota: quota.*nvidia.com/gpu"):
        with_one(lambda each: kubernetes.core.v1.Pod("one", metadata=meta, spec=hungry, opts=each)).preview()
    workload = {
        "selector": {"match_labels": {"app": "one"}},
        "template": {"metadata": {"labels": {"app": "one"}}, "spec": rooted},
    }
    warned = with_one(
        lambda each: kubernetes.apps.v1.Deployment("one", metadata=meta, spec=workload, opts=each)
    )
    assert warned.preview(on_event=bench.heard).change_summary == {"same": 4, "create": 1}
    assert any("would violate PodSecurity" in text for text in bench.warnings)
    bench.stack(namespace).destroy()


def _misspelt_deployment(metadata: dict[str, Any], options: pulumi.ResourceOptions) -> None:
    spec = {"replica": 1, "selector": {"matchLabels": {"app": "one"}}, "template": {}}
    pulumi.CustomResource(
        "kubernetes:apps/v1:Deployment",
        "one",
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        options,
    )


def test_what_does_not_become_ready_says_why_and_stays_in_the_state(bench: Bench, cluster: Cluster) -> None:
    """Else the next destroy would leave it behind."""

    def declare_with(**template: Any) -> Declare:
        def declare(options: pulumi.ResourceOptions) -> None:
            namespace = kubernetes.core.v1.Namespace("namespace", metadata={"name": "unready"}, opts=options)
            kubernetes.apps.v1.Deployment(
                "web",
                metadata={"name": "web", "namespace": namespace.metadata["name"]},
                spec={"selector": {"match_labels": {"app": "web"}}, "template": pods("web", **template)},
                opts=pulumi.ResourceOptions.merge(
                    options, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts("3s", "3s"))
                ),
            )

        return declare

    nowhere = bench.stack(declare_with(node_selector={"freehold.dev/tenant": "nobody"}))
    with pytest.raises(
        auto.CommandError, match=r"not ready after 3 s.*Unschedulable.*node affinity/selector"
    ):
        nowhere.up()
    assert "web" in {each.metadata.name for each in cluster.apps.list_namespaced_deployment("unready").items}
    waiting = bench.stack(declare_with(annotations={WAITING: "ImagePullBackOff"}))
    with pytest.raises(auto.CommandError, match=r"container web of pod web-.* waits: ImagePullBackOff"):
        waiting.up()
    mended = bench.stack(declare_with())
    assert mended.up().summary.resource_changes == {"same": 3, "update": 1}
    mended.destroy()


def test_a_stack_whose_cluster_is_gone_can_be_given_up(bench: Bench, cluster: Cluster) -> None:
    def declare(options: pulumi.ResourceOptions) -> None:
        kubernetes.core.v1.Namespace("namespace", metadata={"name": "orphan"}, opts=options)

    kubeconfig = bench.engine.home / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig.read_text())
    stack = bench.stack(declare, kubeconfig=str(kubeconfig))
    stack.up()
    gone = cluster.kubeconfig.read_text().replace(cluster.api.configuration.host, "https://127.0.0.1:1")
    kubeconfig.write_text(gone)
    with pytest.raises(auto.CommandError, match=r"not reachable.*PULUMI_K8S_DELETE_UNREACHABLE"):
        stack.destroy()
    bench.engine.environment["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    assert bench.stack(declare).destroy().summary.resource_changes == {"delete": 3}
    cluster.core.delete_namespace("orphan")
    cluster.wait(lambda: "orphan" not in cluster.namespaces(), "the namespace to go")


def _check_no_plaintext(stack: auto.Stack, bench: Bench) -> None:
    for path in (bench.engine.home / "state").rglob("*.json"):
        assert PASSWORD not in path.read_text()
    held = bench.cluster.core.read_namespaced_secret("keys", "stand-in").data
    assert base64.b64decode(held["password"]).decode() == PASSWORD
