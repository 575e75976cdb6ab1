"""What a spec must hold before the first resource is asked for. Pure; every objection names its field."""

import ipaddress
from collections.abc import Iterator

from contracts.gpus import GPUS_OF_INSTANCE
from contracts.placement import AWS_ADDONS, AwsPlacement, ClusterSettings
from contracts.stack import GpuSize, StackSpec
from stacks.errors import InputInvalid

ZONES = 3
#: Prefix lengths of a tenant's VPC: three subnets of a /20 hold 1,019 addresses each, a /16 is what AWS allows.
_VPC_LARGEST, _VPC_SMALLEST = 16, 20
#: vCPUs of the machine types with GPUs (AWS, "Accelerated computing instances"); quotas are counted in them.
_VCPUS = {"xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64,
          "24xlarge": 96, "48xlarge": 192}  # fmt: skip

Objection = tuple[str, str]


def cluster_check(spec: StackSpec, settings: ClusterSettings) -> None:
    """InputInvalid naming every field of a cluster's settings or the tenant's sizes that cannot be carried out."""
    _refuse(spec, [*_networks("cluster.control_plane_cidrs", settings.control_plane_cidrs),
                   *_networks("cluster.model_cidrs", settings.model_cidrs),
                   *_model(spec.gpu, settings)])  # fmt: skip


def aws_check(spec: StackSpec, place: AwsPlacement) -> None:
    """The same for an account and a region of AWS."""
    _refuse(
        spec,
        [
            *_zones(spec.region, place),
            *_vpc(place),
            *_networks("aws.cluster.control_plane_cidrs", place.cluster.control_plane_cidrs),
            *_networks("aws.cluster.model_cidrs", place.cluster.model_cidrs),
            *_account(place),
            *_machines(spec, place),
            *_model(spec.gpu, place.cluster),
            *_addons(place),
        ],
    )


def _refuse(spec: StackSpec, objections: list[Objection]) -> None:
    if objections:
        said = "; ".join(f"{field}: {what}" for field, what in objections)
        raise InputInvalid(f"the stack of {spec.slug} cannot be built as specified: {said}")


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        return None


def _networks(field: str, given: list[str]) -> Iterator[Objection]:
    for index, text in enumerate(given):
        network = _network(text)
        if network is None:
            yield f"{field}[{index}]", f"{text} is no network: wanted one such as 10.1.0.0/16, host bits zero"
        elif network.prefixlen == 0:
            yield f"{field}[{index}]", "everything is no network to name: wanted the networks that are meant"


def _zones(region: str, place: AwsPlacement) -> Iterator[Objection]:
    if len(set(place.zones)) != ZONES:
        yield "aws.zones", f"found {', '.join(place.zones) or 'none'}; wanted {ZONES} different zones"
    for zone in place.zones:
        if not zone.startswith(region):
            yield "aws.zones", f"{zone} is not in the region {region}"


def _vpc(place: AwsPlacement) -> Iterator[Objection]:
    network = _network(place.vpc_cidr)
    if network is None:
        yield (
            "aws.vpc_cidr",
            f"{place.vpc_cidr} is no network: wanted one such as 10.64.0.0/16, host bits zero",
        )
        return
    if not _VPC_LARGEST <= network.prefixlen <= _VPC_SMALLEST:
        yield (
            "aws.vpc_cidr",
            f"/{network.prefixlen} is not between /{_VPC_LARGEST} and /{_VPC_SMALLEST}: three zones of nodes and "
            "pods need that room, and AWS allows no larger VPC",
        )
    if not network.is_private:
        yield "aws.vpc_cidr", f"{network} is not a private network (RFC 1918)"
    for text in place.cluster.control_plane_cidrs:
        other = _network(text)
        if other is not None and other.overlaps(network):
            yield (
                "aws.vpc_cidr",
                f"{network} overlaps {other}, where the control plane lives: no route could tell",
            )


def _account(place: AwsPlacement) -> Iterator[Objection]:
    if place.role_arn is not None:
        parts = place.role_arn.split(":")
        if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith("role/"):
            yield "aws.role_arn", f"{place.role_arn} is no role: wanted arn:aws:iam::<account>:role/<name>"
        elif parts[4] != place.account_id:
            yield (
                "aws.role_arn",
                f"the role is of account {parts[4]}, the stack of {place.account_id}: a role of the customer's own "
                "account is needed",
            )
        if place.external_id is None:
            yield (
                "aws.external_id",
                "missing: without it whoever learns the role's name could have us act there (confused deputy)",
            )
    elif place.external_id is not None:
        yield "aws.role_arn", "missing: an external id says nothing without the role to assume"
    if not place.administrators:
        yield "aws.administrators", "empty: nobody could reach the cluster, the control plane neither"


def _machines(spec: StackSpec, place: AwsPlacement) -> Iterator[Objection]:
    gpu = spec.gpu
    offered = place.offered_instance_types
    wanted = [("aws.system_instance_type", place.system_instance_type)]
    if gpu.count:
        wanted.append(("gpu.instance_type", gpu.instance_type))
    for field, kind in wanted:
        if offered is not None and kind not in offered:
            yield field, f"{kind} is not offered in {', '.join(place.zones)}"
    if not gpu.count:
        return
    each = GPUS_OF_INSTANCE.get(gpu.instance_type)
    if each is None:
        yield (
            "gpu.instance_type",
            f"{gpu.instance_type} is no machine with NVIDIA GPUs that is known: choose one of "
            + ", ".join(GPUS_OF_INSTANCE),
        )
        return
    if gpu.count % each:
        yield (
            "gpu.count",
            f"{gpu.count} GPUs do not come in whole machines of {gpu.instance_type} ({each} each)",
        )
    if gpu.capacity == "capacity_block" and gpu.capacity_reservation_id is None:
        yield "gpu.capacity_reservation_id", "missing: a capacity block is bought first and then named here"
    vcpus = _VCPUS.get(gpu.instance_type.rpartition(".")[2], 0) * (gpu.count // each)
    quota = place.gpu_vcpu_quota
    if gpu.capacity == "on_demand" and quota is not None and vcpus > quota:
        yield "gpu.count", f"{vcpus} vCPUs of machines with GPUs are needed, the account's quota is {quota}"


def _model(gpu: GpuSize, settings: ClusterSettings) -> Iterator[Objection]:
    model = settings.model
    if model is None or not gpu.count:
        return
    if gpu.count % model.gpus_per_replica:
        yield (
            "gpu.count",
            f"{gpu.count} GPUs cannot be shared out among copies of {model.name} that need "
            f"{model.gpus_per_replica} each",
        )


def _addons(place: AwsPlacement) -> Iterator[Objection]:
    missing = [name for name in AWS_ADDONS if name not in place.addons]
    if missing:
        yield "aws.addons", f"no version is named for {', '.join(missing)}"
