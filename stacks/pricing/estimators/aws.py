"""What AWS bills by the hour, the month and the GB-month."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from stacks.pricing.estimators.quantities import (
    HOURS,
    Beside,
    CannotEstimate,
    Estimator,
    Inputs,
    Missing,
    Part,
    Quantity,
    alone,
    by_use,
    number_at,
    text_at,
)
from stacks.reading import at, is_unknown, many

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_CAPACITY = {"ON_DEMAND": "on_demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}
#: What a gp3 volume has without being paid for.
_GP3_IOPS, _GP3_THROUGHPUT = 3000, 125


def _eks_cluster(inputs: Inputs) -> list[Part]:
    return [Quantity("aws:eks:cluster", HOURS, "hour")]


def _eks_node_group(inputs: Inputs, beside: Beside) -> list[Part]:
    nodes = number_at(inputs, "scalingConfig", "desiredSize")
    machine = _machine(inputs)
    return [
        Quantity(f"aws:ec2:{machine}:{_bought(inputs)}", nodes * HOURS, "hour"),
        *(_times(each, nodes) for each in _disks(inputs, beside)),
    ]


def _machine(inputs: Inputs) -> str:
    types = [str(each) for each in many(at(inputs, "instanceTypes"))]
    if len(types) != 1 or is_unknown(types[0]):
        raise CannotEstimate("`instanceTypes` names not exactly one type: the price depends on which is had")
    return types[0]


def _bought(inputs: Inputs) -> str:
    return _CAPACITY.get(text_at(inputs, "capacityType", default="ON_DEMAND"), "on_demand")


def _disks(inputs: Inputs, beside: Beside) -> Sequence[Part]:
    """The disks of one node. A plan names a new launch template by an id that is not known yet: where all templates
    that it could be have equal disks, it does not matter which it is."""
    template = at(inputs, "launchTemplate")
    if template is None:
        return [Missing("the kind of its nodes' disks is EKS's choice")]
    name = at(template, "name")
    possible = [
        many(at(each, "blockDeviceMappings"))
        for kind, each in beside
        if kind == _TEMPLATE and (not isinstance(name, str) or is_unknown(name) or at(each, "name") == name)
    ]
    if not possible or any(each != possible[0] for each in possible):
        return [Missing("the disks of its nodes: which launch template it uses is known after the apply")]
    volumes = [ebs for mapping in possible[0] if (ebs := at(mapping, "ebs")) is not None]
    if not volumes:
        return [Missing("the disks of its nodes are those of the machine image")]
    return [part for ebs in volumes for part in _volume(ebs)]


def _volume(ebs: Any) -> list[Part]:
    kind = text_at(ebs, "volumeType", default="gp3")
    parts: list[Part] = [Quantity(f"aws:ebs:{kind}", number_at(ebs, "volumeSize"), "GB-month")]
    beyond = (
        number_at(ebs, "iops", default=_GP3_IOPS) > _GP3_IOPS
        or number_at(ebs, "throughput", default=_GP3_THROUGHPUT) > _GP3_THROUGHPUT
    )
    if kind != "gp3" or beyond:
        parts.append(Missing("the speed of its volumes"))
    return parts


def _times(part: Part, count: Decimal) -> Part:
    return part if isinstance(part, Missing) else Quantity(part.sku, part.amount * count, part.unit)


def _capacity_reservation(inputs: Inputs, beside: Beside) -> list[Part]:
    """Costs like the machines it holds, whether they run or not: those of node groups are counted there."""
    machine = text_at(inputs, "instanceType")
    used = sum(
        (
            number_at(each, "scalingConfig", "desiredSize")
            for kind, each in beside
            if kind == NODE_GROUP and _machine(each) == machine and _bought(each) == "on_demand"
        ),
        Decimal(0),
    )
    unused = max(Decimal(0), number_at(inputs, "instanceCount") - used)
    return [Quantity(f"aws:ec2:{machine}:on_demand", unused * HOURS, "hour")]


def _rds_instance(inputs: Inputs) -> list[Part]:
    zones = "multi_az" if at(inputs, "multiAz") is True else "single_az"
    engine = text_at(inputs, "engine", default="postgres")
    storage = text_at(inputs, "storageType", default="gp3")
    parts: list[Part] = [
        Quantity(f"aws:rds:{engine}:{text_at(inputs, 'instanceClass')}:{zones}", HOURS, "hour"),
        Quantity(f"aws:rds:{storage}:{zones}", number_at(inputs, "allocatedStorage"), "GB-month"),
    ]
    if at(inputs, "manageMasterUserPassword") is True:
        parts += _secret(inputs)
    return parts


def _elasticache(inputs: Inputs) -> list[Part]:
    engine = text_at(inputs, "engine", default="redis")
    shards = at(inputs, "numNodeGroups")
    if shards is None:
        nodes = number_at(inputs, "numCacheClusters", default=1)
    else:
        nodes = number_at(inputs, "numNodeGroups") * (
            1 + number_at(inputs, "replicasPerNodeGroup", default=0)
        )
    return [Quantity(f"aws:elasticache:{engine}:{text_at(inputs, 'nodeType')}", nodes * HOURS, "hour")]


def _vpc_endpoint(inputs: Inputs) -> list[Part]:
    if text_at(inputs, "vpcEndpointType", default="Gateway") == "Gateway":
        return [Quantity("aws:vpc:gateway_endpoint", Decimal(0), "hour")]
    zones = len(many(at(inputs, "subnetIds")))
    if not zones or is_unknown(at(inputs, "subnetIds")):
        raise CannotEstimate("`subnetIds` is known after the apply: an endpoint costs for each of its zones")
    return [Quantity("aws:vpc:interface_endpoint", zones * HOURS, "hour")]


def _kms_key(inputs: Inputs) -> list[Part]:
    return [Quantity("aws:kms:key", Decimal(1), "month")]


def _secret(inputs: Inputs) -> list[Part]:
    return [Quantity("aws:secretsmanager:secret", Decimal(1), "month")]


def _nat_gateway(inputs: Inputs) -> list[Part]:
    return [Quantity("aws:vpc:nat_gateway", HOURS, "hour")]


def _public_address(inputs: Inputs) -> list[Part]:
    return [Quantity("aws:vpc:public_ipv4", HOURS, "hour")]


ESTIMATORS: dict[str, Estimator] = {
    "aws:eks/cluster:Cluster": alone(_eks_cluster),
    NODE_GROUP: _eks_node_group,
    "aws:ec2/capacityReservation:CapacityReservation": _capacity_reservation,
    "aws:rds/instance:Instance": alone(_rds_instance),
    "aws:elasticache/replicationGroup:ReplicationGroup": alone(_elasticache),
    "aws:ec2/vpcEndpoint:VpcEndpoint": alone(_vpc_endpoint),
    "aws:ec2/natGateway:NatGateway": alone(_nat_gateway),
    "aws:ec2/eip:Eip": alone(_public_address),
    "aws:kms/key:Key": alone(_kms_key),
    "aws:secretsmanager/secret:Secret": alone(_secret),
    "aws:s3/bucket:Bucket": by_use("what lies in it and the requests for it are"),
    "aws:cloudwatch/logGroup:LogGroup": by_use("the logs it takes in and keeps are"),
}
