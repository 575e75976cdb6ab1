"""A cluster's volumes, and the share of its nodes that pods ask for.

Where the stack has nodes of its own they are paid for as such, and its pods cost nothing more. In a cluster of the
operator's only the operator knows what a share of it costs.
"""

from decimal import Decimal
from typing import Any

from stacks.pricing.estimators.aws import NODE_GROUP
from stacks.pricing.estimators.quantities import (
    GB,
    Beside,
    CannotEstimate,
    Estimator,
    Inputs,
    Missing,
    Part,
    Quantity,
    alone,
    number_at,
    text_at,
)
from stacks.reading import at, many, pod_spec

_BINARY = {"Ki": Decimal(1) / GB / GB, "Mi": Decimal(1) / GB, "Gi": Decimal(1), "Ti": GB}


def gigabytes(quantity: Any) -> Decimal:
    """A Kubernetes quantity of bytes (`10Gi`) in GiB. CannotEstimate for others."""
    text = str(quantity)
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            try:
                return Decimal(text.removesuffix(suffix)) * factor
            except ArithmeticError:
                break
    raise CannotEstimate(f"{text!r} is no size that is understood")


def _cores(quantity: Any) -> Decimal:
    """A Kubernetes quantity of CPU (`500m`, `2`) in cores. CannotEstimate for others."""
    text = str(quantity)
    try:
        return Decimal(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    except ArithmeticError:
        raise CannotEstimate(f"{text!r} is no amount of CPU that is understood") from None


def _claim(inputs: Inputs) -> list[Quantity]:
    size = gigabytes(at(inputs, "spec", "resources", "requests", "storage"))
    kind = text_at(inputs, "spec", "storageClassName", default="default")
    return [Quantity(f"kubernetes:storage:{kind}", size, "GB-month")]


def _workload(inputs: Inputs, beside: Beside) -> list[Part]:
    """A Deployment or a StatefulSet: the volumes of each replica, and what its containers ask for."""
    replicas = number_at(inputs, "spec", "replicas", default=1)
    found: list[Part] = []
    for claim in many(at(inputs, "spec", "volumeClaimTemplates")):
        for each in _claim(claim):
            found.append(Quantity(each.sku, each.amount * replicas, each.unit))
    return found if _own_nodes(beside) else [*found, *_requests(inputs, replicas)]


def _daemon_set(inputs: Inputs, beside: Beside) -> list[Part]:
    return [] if _own_nodes(beside) else [Missing("how many nodes of the cluster run its pod is not known")]


def _service(inputs: Inputs) -> list[Part]:
    """A name inside the cluster costs nothing; a load balancer before it is the cloud's to price."""
    if text_at(inputs, "spec", "type", default="ClusterIP") != "LoadBalancer":
        return []
    raise CannotEstimate("its load balancer's kind is the cluster's choice")


def _own_nodes(beside: Beside) -> bool:
    return any(kind == NODE_GROUP for kind, _ in beside)


def _requests(inputs: Inputs, replicas: Decimal) -> list[Part]:
    cores, memory, gpus = Decimal(0), Decimal(0), Decimal(0)
    silent = []
    for container in many(pod_spec(inputs).get("containers")):
        asked = {
            **(at(container, "resources", "limits") or {}),
            **(at(container, "resources", "requests") or {}),
        }
        if "cpu" not in asked or "memory" not in asked:
            silent.append(str(at(container, "name")))
        cores += _cores(asked.get("cpu", 0))
        memory += gigabytes(asked["memory"]) if "memory" in asked else 0
        gpus += number_at(asked, "nvidia.com/gpu", default=0)
    shares = [
        Quantity("kubernetes:cpu", cores * replicas, "core-month"),
        Quantity("kubernetes:memory", memory * replicas, "GB-month"),
        Quantity("kubernetes:gpu", gpus * replicas, "GPU-month"),
    ]
    parts: list[Part] = [each for each in shares if each.amount]
    if silent:
        parts.append(Missing(f"how much of a node {', '.join(silent)} takes is not said"))
    return parts


ESTIMATORS: dict[str, Estimator] = {
    "kubernetes:core/v1:PersistentVolumeClaim": alone(_claim),
    "kubernetes:core/v1:Service": alone(_service),
    "kubernetes:apps/v1:Deployment": _workload,
    "kubernetes:apps/v1:StatefulSet": _workload,
    "kubernetes:apps/v1:DaemonSet": _daemon_set,
}
