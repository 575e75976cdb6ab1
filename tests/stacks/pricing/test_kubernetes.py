"""What a cluster's objects cost: volumes, and shares of nodes that are the operator's."""

from pathlib import Path
from typing import Any

import pytest

from contracts.planned import CostEstimate, PlannedResource
from stacks.pricing.estimate import cost_estimate
from stacks.pricing.estimators import ESTIMATORS
from stacks.pricing.tables import PriceBook, price_book
from tests.stacks.policy.planned import resource, workload

#: Every type of the target `kubernetes`, which the cluster of the target `aws` has too.
TYPES = [
    "core/v1:Namespace",
    "core/v1:ConfigMap",
    "core/v1:Secret",
    "core/v1:Service",
    "core/v1:ServiceAccount",
    "core/v1:ResourceQuota",
    "core/v1:LimitRange",
    "core/v1:PersistentVolumeClaim",
    "apps/v1:Deployment",
    "apps/v1:StatefulSet",
    "apps/v1:DaemonSet",
    "batch/v1:Job",
    "networking.k8s.io/v1:NetworkPolicy",
    "rbac.authorization.k8s.io/v1:Role",
    "rbac.authorization.k8s.io/v1:RoleBinding",
    "rbac.authorization.k8s.io/v1:ClusterRole",
    "rbac.authorization.k8s.io/v1:ClusterRoleBinding",
    "autoscaling/v2:HorizontalPodAutoscaler",
    "policy/v1:PodDisruptionBudget",
    "scheduling.k8s.io/v1:PriorityClass",
    "storage.k8s.io/v1:StorageClass",
    "node.k8s.io/v1:RuntimeClass",
]
OWN = """
[table]
name = "our-cluster"
currency = "USD"
date = 2026-11-01
source = "finance"
regions = ["*"]
[prices]
"kubernetes:cpu" = "20"
"kubernetes:memory" = "2"
"kubernetes:gpu" = "400"
"kubernetes:storage:fast" = "0.20"
"""
ASKS: dict[str, Any] = {
    "resources": {
        "requests": {"cpu": "500m", "memory": "2Gi"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }
}


@pytest.fixture
def own(tmp_path: Path) -> PriceBook:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return price_book(region="datacentre", own=[path])


def estimate(book: PriceBook, *resources: PlannedResource) -> CostEstimate:
    return cost_estimate(resources, book)


@pytest.mark.parametrize("name", TYPES)
def test_each_type_is_estimated_or_costs_nothing_for_a_reason(name: str) -> None:
    type_name = f"kubernetes:{name}"
    assert price_book(region="datacentre").included(type_name) != (type_name in ESTIMATORS)


def test_in_an_operators_cluster_pods_cost_what_they_ask_for(own: PriceBook) -> None:
    told = estimate(own, workload(container=ASKS, replicas=2))
    assert [(line.sku, line.quantity, line.monthly) for line in told.lines] == [
        ("kubernetes:cpu", "1", "20.00"),
        ("kubernetes:memory", "4", "8.00"),
        ("kubernetes:gpu", "2", "800.00"),
    ]
    assert told.unknown == []


def test_only_the_operator_knows_what_a_share_of_the_cluster_costs() -> None:
    told = estimate(price_book(region="datacentre"), workload(container=ASKS))
    (unknown,) = told.unknown
    assert told.lines == []
    assert "kubernetes:cpu" in unknown.why
    assert "kubernetes:gpu" in unknown.why


def test_pods_on_nodes_of_the_stack_cost_nothing_more() -> None:
    nodes = resource(
        "aws:eks/nodeGroup:NodeGroup", instanceTypes=["g6.xlarge"], scalingConfig={"desiredSize": 1}
    )
    told = estimate(price_book(region="us-east-1"), nodes, workload(container=ASKS), workload("DaemonSet"))
    assert {line.type for line in told.lines} == {nodes.type}
    assert {each.urn for each in told.unknown} == {nodes.urn}, "the disks, which no template says"


def test_a_container_that_asks_for_nothing_is_named(own: PriceBook) -> None:
    (unknown,) = estimate(own, workload()).unknown
    assert unknown.why == "how much of a node main takes is not said"


def test_a_pod_on_every_node_of_a_foreign_cluster_is_unknown(own: PriceBook) -> None:
    (unknown,) = estimate(own, workload("DaemonSet", container=ASKS)).unknown
    assert "how many nodes" in unknown.why


def test_a_load_balancer_is_unknown_and_a_name_is_free(own: PriceBook) -> None:
    inside = resource("kubernetes:core/v1:Service", name="in", spec={"clusterIP": "None"})
    outside = resource("kubernetes:core/v1:Service", name="out", spec={"type": "LoadBalancer"})
    assert [each.urn for each in estimate(own, inside, outside).unknown] == [outside.urn]


def test_volumes_are_priced_by_their_class(own: PriceBook) -> None:
    claim = {"storageClassName": "fast", "resources": {"requests": {"storage": "50Gi"}}}
    told = estimate(own, resource("kubernetes:core/v1:PersistentVolumeClaim", spec=claim))
    assert [line.monthly for line in told.lines] == ["10.00"]


@pytest.mark.parametrize("amount", ["", "many", "2x"])
def test_an_amount_of_cpu_that_is_not_understood_is_unknown(own: PriceBook, amount: str) -> None:
    asks = {"resources": {"requests": {"cpu": amount, "memory": "1Gi"}}}
    (unknown,) = estimate(own, workload(container=asks)).unknown
    assert "no amount of CPU" in unknown.why
