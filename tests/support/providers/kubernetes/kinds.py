"""The kinds of the official SDK that the stand-in knows, and which of their properties force a replacement."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.providers.serving import Refused


@dataclass(frozen=True)
class Kind:
    """`replaces` holds paths below which any difference forces a replacement."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    replaces: tuple[str, ...] = ()

    def path(self, namespace: str | None) -> str:
        """Of its collection on the apiserver."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{root}/{self.plural}"


_SELECTOR = ("spec.selector",)
_STATEFUL_SET = (
    "spec.podManagementPolicy",
    "spec.revisionHistoryLimit",
    "spec.selector",
    "spec.serviceName",
    "spec.volumeClaimTemplates",
)
_CLAIM = ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName", "spec.volumeMode")
_JOB = ("spec.completions", "spec.parallelism", "spec.selector", "spec.template")

_KINDS = [
    Kind("v1", "Namespace", "namespaces", namespaced=False),
    Kind("v1", "ConfigMap", "configmaps"),
    # A pod's spec cannot be changed but for its images, and those of the official plugin's list replace as well.
    Kind("v1", "Pod", "pods", replaces=("spec",)),
    Kind("v1", "Secret", "secrets", replaces=("type",)),
    Kind("v1", "Service", "services", replaces=("spec.clusterIP",)),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", replaces=_CLAIM),
    Kind("v1", "ResourceQuota", "resourcequotas", replaces=("spec.scopes",)),
    Kind("v1", "LimitRange", "limitranges"),
    Kind("apps/v1", "Deployment", "deployments", replaces=_SELECTOR),
    Kind("apps/v1", "DaemonSet", "daemonsets", replaces=_SELECTOR),
    Kind("apps/v1", "StatefulSet", "statefulsets", replaces=_STATEFUL_SET),
    Kind("batch/v1", "Job", "jobs", replaces=_JOB),
    Kind("batch/v1", "CronJob", "cronjobs"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("networking.k8s.io/v1", "Ingress", "ingresses"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", replaces=("roleRef",)),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    Kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        namespaced=False,
        replaces=("roleRef",),
    ),
    Kind(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        "priorityclasses",
        namespaced=False,
        replaces=("value", "preemptionPolicy"),
    ),
    Kind(
        "storage.k8s.io/v1",
        "StorageClass",
        "storageclasses",
        namespaced=False,
        replaces=("parameters", "provisioner"),
    ),
    Kind("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        namespaced=False,
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        namespaced=False,
    ),
]

#: Type token of the SDK -> kind. The core group is spelled out there: `kubernetes:core/v1:Namespace`.
KINDS: Mapping[str, Kind] = {
    f"kubernetes:{each.api_version if '/' in each.api_version else f'core/{each.api_version}'}:{each.kind}": each
    for each in _KINDS
}


def kind_of(resource_type: str) -> Kind:
    # A URN holds the types of all parents: `freehold:kubernetes:Database$kubernetes:apps/v1:StatefulSet`.
    token = resource_type.rsplit("$", 1)[-1]
    if token not in KINDS:
        raise Refused(
            f"the stand-in for the Kubernetes provider does not know {token}; it knows {', '.join(KINDS)}. "
            "Add its row to tests/support/providers/kubernetes/kinds.py."
        )
    return KINDS[token]
