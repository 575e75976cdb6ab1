"""What of a planned resource is paid for: SKUs and monthly quantities. Pure.

An SKU's price is per unit: `hour` for what runs, `GB-month` for what lies, `month` for what is rented.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stacks.reading import at, is_unknown, many

HOURS = Decimal(730)
_GB = Decimal(1024)


class CannotEstimate(Exception):
    """What is missing to say how much of it there will be."""


@dataclass(frozen=True)
class Quantity:
    sku: str
    amount: Decimal
    unit: str


Inputs = Mapping[str, Any]
Estimator = Callable[[Inputs], list[Quantity]]


def _number(inputs: Inputs, *path: str, default: int | None = None) -> Decimal:
    value = at(inputs, *path)
    if value is None and default is not None:
        return Decimal(default)
    try:
        return Decimal(str(value))
    except ArithmeticError:
        state = "is known after the apply" if is_unknown(value) else "is missing"
        raise CannotEstimate(f"`{'.'.join(path)}` {state}") from None


def _text(inputs: Inputs, *path: str, default: str | None = None) -> str:
    value = at(inputs, *path)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or is_unknown(value):
        state = "is known after the apply" if is_unknown(value) else "is missing"
        raise CannotEstimate(f"`{'.'.join(path)}` {state}")
    return value


# --- this machine ---------------------------------------------------------------------------------------
#: Memory of one connection's backend, beside the shared buffers: work_mem and the process itself.
_CONNECTION_MB = Decimal(5)
_WORKER_MB = Decimal(256)


def _memory(megabytes: Decimal) -> Quantity:
    return Quantity("local:memory", megabytes / _GB, "GB-month")


def _local_postgres(inputs: Inputs) -> list[Quantity]:
    return [
        _memory(_number(inputs, "shared_buffers_mb") + _CONNECTION_MB * _number(inputs, "max_connections"))
    ]


def _local_redis(inputs: Inputs) -> list[Quantity]:
    return [_memory(_number(inputs, "max_memory_mb"))]


def _local_gpus(inputs: Inputs) -> list[Quantity]:
    return [Quantity("local:gpu", _number(inputs, "count"), "GPU-month")]


def _local_runtime(inputs: Inputs) -> list[Quantity]:
    if at(inputs, "suspended") is True:
        return [_memory(Decimal(0))]
    return [_memory(_WORKER_MB * _number(inputs, "workers", default=1))]


# --- AWS ------------------------------------------------------------------------------------------------
_CAPACITY = {"ON_DEMAND": "on_demand", "SPOT": "spot", "CAPACITY_BLOCK": "capacity_block"}


def _eks_cluster(inputs: Inputs) -> list[Quantity]:
    return [Quantity("aws:eks:cluster", HOURS, "hour")]


def _eks_node_group(inputs: Inputs) -> list[Quantity]:
    nodes = _number(inputs, "scalingConfig", "desiredSize")
    types = [str(each) for each in many(at(inputs, "instanceTypes"))]
    if len(types) != 1 or is_unknown(types[0]):
        raise CannotEstimate("`instanceTypes` names not exactly one type: the price depends on which is had")
    bought = _CAPACITY.get(_text(inputs, "capacityType", default="ON_DEMAND"), "on_demand")
    return [Quantity(f"aws:ec2:{types[0]}:{bought}", nodes * HOURS, "hour")]


def _rds_instance(inputs: Inputs) -> list[Quantity]:
    zones = "multi_az" if at(inputs, "multiAz") is True else "single_az"
    engine = _text(inputs, "engine", default="postgres")
    storage = _text(inputs, "storageType", default="gp3")
    return [
        Quantity(f"aws:rds:{engine}:{_text(inputs, 'instanceClass')}:{zones}", HOURS, "hour"),
        Quantity(f"aws:rds:{storage}:{zones}", _number(inputs, "allocatedStorage"), "GB-month"),
    ]


def _elasticache(inputs: Inputs) -> list[Quantity]:
    engine = _text(inputs, "engine", default="redis")
    nodes = _number(inputs, "numCacheClusters", default=1)
    return [Quantity(f"aws:elasticache:{engine}:{_text(inputs, 'nodeType')}", nodes * HOURS, "hour")]


def _vpc_endpoint(inputs: Inputs) -> list[Quantity]:
    if _text(inputs, "vpcEndpointType", default="Gateway") == "Gateway":
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


# --- Kubernetes -----------------------------------------------------------------------------------------
_BINARY = {"Ki": Decimal(1) / _GB / _GB, "Mi": Decimal(1) / _GB, "Gi": Decimal(1), "Ti": _GB}


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


def _claim(inputs: Inputs) -> list[Quantity]:
    size = gigabytes(at(inputs, "spec", "resources", "requests", "storage"))
    kind = _text(inputs, "spec", "storageClassName", default="default")
    return [Quantity(f"kubernetes:storage:{kind}", size, "GB-month")]


def _stateful_set(inputs: Inputs) -> list[Quantity]:
    """Its volumes: its pods run on nodes that are paid for as such."""
    replicas = _number(inputs, "spec", "replicas", default=1)
    found = []
    for claim in many(at(inputs, "spec", "volumeClaimTemplates")):
        for each in _claim(claim):
            found.append(Quantity(each.sku, each.amount * replicas, each.unit))
    return found


ESTIMATORS: Mapping[str, Estimator] = {
    "local:index:PostgresServer": _local_postgres,
    "local:index:RedisServer": _local_redis,
    "local:index:GpuAllocation": _local_gpus,
    "local:index:RuntimeProcess": _local_runtime,
    "aws:eks/cluster:Cluster": _eks_cluster,
    "aws:eks/nodeGroup:NodeGroup": _eks_node_group,
    "aws:rds/instance:Instance": _rds_instance,
    "aws:elasticache/replicationGroup:ReplicationGroup": _elasticache,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _vpc_endpoint,
    "aws:ec2/natGateway:NatGateway": _nat_gateway,
    "aws:ec2/eip:Eip": _public_address,
    "aws:kms/key:Key": _kms_key,
    "aws:secretsmanager/secret:Secret": _secret,
    "kubernetes:core/v1:PersistentVolumeClaim": _claim,
    "kubernetes:apps/v1:StatefulSet": _stateful_set,
}
