"""What AWS bills by the hour, the month and the GB-month."""

from decimal import Decimal

from stacks.pricing.estimators.quantities import (
    HOURS,
    CannotEstimate,
    Estimator,
    Inputs,
    Quantity,
    number_at,
    text_at,
)
from stacks.reading import at, is_unknown, many

_CAPACITY = {"ON_DEMAND": "on_demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}


def _eks_cluster(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:eks:cluster", HOURS, "hour")]


def _eks_node_group(inputs: Inputs) -> list[Quantity]:
    nodes = number_at(inputs, "scalingConfig", "desiredSize")
    types = [str(each) for each in many(at(inputs, "instanceTypes"))]
    if len(types) != 1 or is_unknown(types[0]):
        raise CannotEstimate("`instanceTypes` names not exactly one type: the price depends on which is had")
    bought = _CAPACITY.get(text_at(inputs, "capacityType", default="ON_DEMAND"), "on_demand")
    return [Quantity(f"aws:ec2:{types[0]}:{bought}", nodes * HOURS, "hour")]


def _rds_instance(inputs: Inputs) -> list[Quantity]:
    zones = "multi_az" if at(inputs, "multiAz") is True else "single_az"
    engine = text_at(inputs, "engine", default="postgres")
    storage = text_at(inputs, "storageType", default="gp3")
    return [
        Quantity(f"aws:rds:{engine}:{text_at(inputs, 'instanceClass')}:{zones}", HOURS, "hour"),
        Quantity(f"aws:rds:{storage}:{zones}", number_at(inputs, "allocatedStorage"), "GB-month"),
    ]


def _elasticache(inputs: Inputs) -> list[Quantity]:
    engine = text_at(inputs, "engine", default="redis")
    nodes = number_at(inputs, "numCacheClusters", default=1)
    return [Quantity(f"aws:elasticache:{engine}:{text_at(inputs, 'nodeType')}", nodes * HOURS, "hour")]


def _vpc_endpoint(inputs: Inputs) -> list[Quantity]:
    if text_at(inputs, "vpcEndpointType", default="Gateway") == "Gateway":
        return [Quantity("aws:vpc:gateway_endpoint", Decimal(0), "hour")]
    zones = len(many(at(inputs, "subnetIds")))
    if not zones or is_unknown(at(inputs, "subnetIds")):
        raise CannotEstimate("`subnetIds` is known after the apply: an endpoint costs for each of its zones")
    return [Quantity("aws:vpc:interface_endpoint", zones * HOURS, "hour")]


def _kms_key(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:kms:key", Decimal(1), "month")]


def _secret(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:secretsmanager:secret", Decimal(1), "month")]


def _nat_gateway(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:vpc:nat_gateway", HOURS, "hour")]


def _public_address(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:vpc:public_ipv4", HOURS, "hour")]


ESTIMATORS: dict[str, Estimator] = {
    "aws:eks/cluster:Cluster": _eks_cluster,
    "aws:eks/nodeGroup:NodeGroup": _eks_node_group,
    "aws:rds/instance:Instance": _rds_instance,
    "aws:elasticache/replicationGroup:ReplicationGroup": _elasticache,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _vpc_endpoint,
    "aws:ec2/natGateway:NatGateway": _nat_gateway,
    "aws:ec2/eip:Eip": _public_address,
    "aws:kms/key:Key": _kms_key,
    "aws:secretsmanager/secret:Secret": _secret,
}
