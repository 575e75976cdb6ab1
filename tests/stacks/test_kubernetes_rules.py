"""What the stand-in for the Kubernetes provider decides without a cluster: differences, drift, readiness."""

from typing import Any

import pytest
from pulumi.provider.experimental.provider import CheckRequest, PropertyDiffKind
from pulumi.runtime.rpc import UNKNOWN

from stacks.providers.local.values import plain, properties
from tests.support.providers.kubernetes.differences import differences
from tests.support.providers.kubernetes.kinds import kind_of
from tests.support.providers.kubernetes.live import drifted, foretold, outputs
from tests.support.providers.kubernetes.provider import KubernetesProvider
from tests.support.providers.kubernetes.readiness import GAPS, SKIP_AWAIT, WillNotBeReady, gap
from tests.support.providers.kubernetes.settings import Settings, another_cluster
from tests.support.providers.serving import Refused

NO_API: Any = None


def provider(**settings: Any) -> KubernetesProvider:
    made = KubernetesProvider()
    made.settings = Settings.of(settings)
    return made


def compared(token: str, old: Any, new: Any, **settings: Any) -> tuple[list[str], dict[str, str]]:
    """What is replaced, and each path with the kind of its change."""
    answer = provider(**settings).compare(token, old, new)
    return list(answer.replaces or []), {
        path: each.kind.name for path, each in (answer.detailed_diff or {}).items()
    }


def test_paths_of_differences_are_written_as_the_engine_reads_them() -> None:
    old = {"metadata": {"labels": {"app.kubernetes.io/name": "a"}}, "spec": {"ports": [{"port": 1}]}}
    new = {"metadata": {"labels": {}}, "spec": {"ports": [{"port": 2}, {"port": 3}], "type": "ClusterIP"}}
    assert differences(old, new) == {
        'metadata.labels["app.kubernetes.io/name"]': PropertyDiffKind.DELETE,
        "spec.ports[0].port": PropertyDiffKind.UPDATE,
        "spec.ports[1]": PropertyDiffKind.ADD,
        "spec.type": PropertyDiffKind.ADD,
    }


def test_quantities_are_compared_by_what_they_mean_and_other_texts_as_they_are() -> None:
    old = {"spec": {"resources": {"limits": {"memory": "1Gi", "cpu": 1}}}, "data": {"limits": "1"}}
    new = {
        "spec": {"resources": {"limits": {"memory": "1024Mi", "cpu": "1000m"}}},
        "data": {"limits": "1000m"},
    }
    assert list(differences(old, new)) == ["data.limits"]


@pytest.mark.parametrize(
    ("token", "old", "new", "replaces"),
    [
        ("core/v1:Namespace", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, ["metadata"]),
        ("apps/v1:Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, []),
        (
            "apps/v1:Deployment",
            {"spec": {"selector": {"a": "1"}}},
            {"spec": {"selector": {"a": "2"}}},
            ["spec"],
        ),
        ("apps/v1:StatefulSet", {"spec": {"serviceName": "a"}}, {"spec": {"serviceName": "b"}}, ["spec"]),
        ("apps/v1:StatefulSet", {"spec": {"template": {"x": 1}}}, {"spec": {"template": {"x": 2}}}, []),
        ("batch/v1:Job", {"spec": {"template": {"x": 1}}}, {"spec": {"template": {"x": 2}}}, ["spec"]),
        ("core/v1:Service", {"spec": {"clusterIP": "None"}}, {"spec": {"clusterIP": ""}}, ["spec"]),
        ("core/v1:Service", {"spec": {"clusterIPs": ["a"]}}, {"spec": {"clusterIPs": ["b"]}}, []),
        (
            "rbac.authorization.k8s.io/v1:RoleBinding",
            {"roleRef": {"name": "a"}},
            {"roleRef": {"name": "b"}},
            ["roleRef"],
        ),
        ("scheduling.k8s.io/v1:PriorityClass", {"value": 1}, {"value": 2}, ["value"]),
        ("storage.k8s.io/v1:StorageClass", {"provisioner": "a"}, {"provisioner": "b"}, ["provisioner"]),
        (
            "core/v1:PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
            [],
        ),
        (
            "core/v1:PersistentVolumeClaim",
            {"spec": {"storageClassName": "a"}},
            {"spec": {"storageClassName": "b"}},
            ["spec"],
        ),
    ],
)
def test_what_kubernetes_does_not_let_change_is_replaced(
    token: str, old: Any, new: Any, replaces: list[str]
) -> None:
    found, changes = compared(f"kubernetes:{token}", old, new)
    assert found == replaces
    assert all(kind.endswith("_REPLACE") for kind in changes.values()) is bool(replaces)


@pytest.mark.parametrize(
    ("kind", "option"), [("Secret", "enableSecretMutable"), ("ConfigMap", "enableConfigMapMutable")]
)
def test_data_is_replaced_unless_the_provider_is_told_otherwise(kind: str, option: str) -> None:
    token, old, new = (
        f"kubernetes:core/v1:{kind}",
        {"kind": kind, "data": {"a": "1"}},
        {"kind": kind, "data": {"a": "2"}},
    )
    assert compared(token, old, new)[0] == ["data"]
    assert compared(token, old, new, **{option: "true"})[0] == []
    held = {"immutable": True}
    assert compared(token, old | held, new | held, **{option: "true"})[0] == ["data"]


def test_the_old_object_goes_first_when_the_new_one_has_its_name() -> None:
    token, name = "kubernetes:apps/v1:StatefulSet", {"metadata": {"name": "a", "namespace": "n"}}
    same = provider().compare(
        token, name | {"spec": {"serviceName": "a"}}, name | {"spec": {"serviceName": "b"}}
    )
    other = provider().compare(token, name, {"metadata": {"name": "b", "namespace": "n"}})
    assert (same.delete_before_replace, other.delete_before_replace) == (True, False)


async def test_a_check_fills_in_what_the_sdk_leaves_out() -> None:
    given = properties({"metadata": {"labels": {"a": "b"}}, "data": {"k": "v"}}, ["data"])
    asked = CheckRequest("urn:pulumi:s::p::kubernetes:core/v1:Secret::keys", {}, given, b"\x01\x02")
    answer = await provider(namespace="acme").check(asked)
    assert answer.inputs is not None
    assert answer.inputs["data"].is_secret
    assert plain(answer.inputs) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "data": {"k": "v"},
        "metadata": {
            "name": "keys-0102",
            "namespace": "acme",
            "labels": {"a": "b"},
            "annotations": {"pulumi.com/autonamed": "true"},
        },
    }


def test_types_and_options_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(Refused, match=r"does not know kubernetes:helm.sh/v3:Release"):
        kind_of("kubernetes:helm.sh/v3:Release")
    with pytest.raises(Refused, match="renderYamlToDirectory"):
        Settings.of({"renderYamlToDirectory": "there"})
    with pytest.raises(Refused, match="server-side apply only"):
        Settings.of({"enableServerSideApply": "false"})


def test_another_cluster_is_told_by_its_server_or_by_what_the_program_says() -> None:
    def config(server: str, token: str) -> dict[str, str]:
        return {
            "kubeconfig": f"""
current-context: x
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
"""
        }

    assert not another_cluster(config("https://a", "old"), config("https://a", "new"))
    assert another_cluster(config("https://a", "t"), config("https://b", "t"))
    named = {"clusterIdentifier": "one"}
    assert not another_cluster(config("https://a", "t") | named, config("https://b", "t") | named)
    assert not another_cluster({}, {"kubeconfig": UNKNOWN})


def test_drift_shows_in_what_the_program_named_and_only_there() -> None:
    inputs = {
        "kind": "Deployment",
        "metadata": {"name": "a", "labels": {"kept": "1", "lost": "1"}},
        "spec": {
            "replicas": 1,
            "limits": {"cpu": "0.5", "memory": "1024Mi"},
            "egress": [],
            "containers": [{"name": "one", "image": "i"}],
        },
    }
    live = {
        "kind": "Deployment",
        "metadata": {"name": "a", "labels": {"kept": "1", "added": "1"}, "uid": "u"},
        "spec": {
            "replicas": 3,
            "limits": {"cpu": "500m", "memory": "1Gi"},
            "containers": [
                {"name": "injected", "image": "x"},
                {"name": "one", "image": "i", "pullPolicy": "Always"},
            ],
        },
        "status": {},
    }
    assert differences(drifted(inputs, live), inputs) == {
        "metadata.labels.lost": PropertyDiffKind.ADD,
        "spec.replicas": PropertyDiffKind.UPDATE,
        "spec.containers[0].name": PropertyDiffKind.UPDATE,
        "spec.containers[0].image": PropertyDiffKind.UPDATE,
        "spec.containers[1]": PropertyDiffKind.DELETE,
    }


def test_a_secrets_clear_text_is_compared_with_what_is_stored() -> None:
    inputs = {"kind": "Secret", "stringData": {"a": "one", "b": "two"}}
    live = {"kind": "Secret", "data": {"a": "b25l", "b": "ZG9z"}}
    assert drifted(inputs, live)["stringData"] == {"a": "one", "b": "dos"}


def test_outputs_keep_secrets_and_leave_the_bookkeeping_out() -> None:
    inputs = properties({"spec": {"env": "open"}, "data": {"k": "v"}}, ["data"])
    live = {
        "kind": "Secret",
        "metadata": {"name": "a", "managedFields": [1]},
        "data": {"k": "v"},
        "type": "t",
    }
    shown = outputs(live, inputs)
    assert shown["data"].is_secret
    assert not shown["metadata"].contains_secret()
    assert plain(shown)["metadata"] == {"name": "a"}


def test_a_preview_promises_only_what_a_dry_run_can_know() -> None:
    answer = {
        "metadata": {"name": "a", "uid": "made up", "resourceVersion": "7"},
        "spec": {"clusterIP": "10.0.0.9", "type": "ClusterIP"},
    }
    told = foretold(answer, {"spec": {"type": "ClusterIP"}}, None)
    assert told["metadata"]["uid"] == told["spec"]["clusterIP"] == told["status"] == UNKNOWN
    assert told["spec"]["type"] == "ClusterIP"
    old = {"metadata": {"uid": "real"}, "spec": {"clusterIP": "10.0.0.1"}}
    told = foretold(answer, {"spec": {"type": "ClusterIP"}}, old)
    assert (told["metadata"]["uid"], told["spec"]["clusterIP"]) == ("real", "10.0.0.1")


def workload(kind: str, status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "a", "generation": 2}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("live", "missing"),
    [
        (workload("Deployment", {"observedGeneration": 1}), "controller has not seen"),
        (
            workload("Deployment", {"observedGeneration": 2}, replicas=2),
            "0 of 2 replicas have the new template",
        ),
        (
            workload(
                "Deployment", {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 2}, replicas=1
            ),
            "old replicas",
        ),
        (
            workload(
                "Deployment", {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1}, replicas=1
            ),
            "0 of 1 replicas are available",
        ),
        (workload("Deployment", {"observedGeneration": 2}, replicas=0), None),
        (
            workload("StatefulSet", {"observedGeneration": 2, "readyReplicas": 1}, replicas=3),
            "1 of 3 replicas are ready",
        ),
        (workload("DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 0}), None),
        (
            workload(
                "DaemonSet",
                {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2},
            ),
            "0 of 2 pods are available",
        ),
        (workload("Job", {}), "not complete"),
        (workload("Job", {}, suspend=True), None),
        (workload("Job", {"conditions": [{"type": "Complete", "status": "True"}]}), None),
        (workload("Namespace", {"phase": "Terminating"}), "Terminating"),
        (workload("ResourceQuota", {}, hard={"pods": "1"}), "not in force"),
        (workload("Service", {}, clusterIP="None", selector={"a": "b"}), None),
        (workload("ConfigMap", {}), None),
    ],
)
def test_what_is_missing_until_an_object_is_ready(live: dict[str, Any], missing: str | None) -> None:
    found = gap(live, NO_API)
    assert found is None if missing is None else missing in str(found)
    if missing is not None:
        live["metadata"]["annotations"] = {SKIP_AWAIT: "true"}
        assert gap(live, NO_API) is None


def test_a_failed_job_is_not_waited_for() -> None:
    failed = {"type": "Failed", "status": "True", "message": "it has reached its limit of retries"}
    with pytest.raises(WillNotBeReady, match="limit of retries"):
        GAPS["Job"](workload("Job", {"conditions": [failed]}), NO_API)
