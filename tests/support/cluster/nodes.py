"""The machines of the cluster: nodes of CPUs, and each tenant's own nodes with GPUs."""

from typing import Any

GPU = "nvidia.com/gpu"
TENANT = "freehold.dev/tenant"
ZONES = ("zone-a", "zone-b", "zone-c")


def cpu_node(name: str, zone: str) -> dict[str, Any]:
    return _node(name, zone, labels={}, taints=[], resources={})


def gpu_node(name: str, zone: str, *, tenant: str, gpus: int) -> dict[str, Any]:
    """For this tenant alone: its label, its taint, and the taint that keeps off whoever asks for no GPU."""
    taints = [
        {"key": TENANT, "value": tenant, "effect": "NoSchedule"},
        {"key": GPU, "value": "present", "effect": "NoSchedule"},
    ]
    return _node(name, zone, labels={TENANT: tenant}, taints=taints, resources={GPU: str(gpus)})


def _node(
    name: str, zone: str, *, labels: dict[str, str], taints: list[dict[str, str]], resources: dict[str, str]
) -> dict[str, Any]:
    holds = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1Ti"} | resources
    well_known = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": "region-1",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": well_known | labels},
        "spec": {"taints": taints},
        "status": {"capacity": holds, "allocatable": holds},
    }
