"""Where a tenant lives, chosen before it is made, so that programs stay pure: on this machine a slot of four ports and
a folder, in a cluster its settings, in AWS an account, a network and three zones."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypedDict

from django.conf import settings

from contracts.placement import AwsPlacement, KubernetesPlacement, LocalPlacement, LocalPorts
from controlplane.core.errors import Conflict, OperatorError
from controlplane.tenants.models import Tenant
from controlplane.tenants.networks import network_take
from controlplane.tenants.overrides import aws_overrides
from controlplane.tenants.targets import AWS, KUBERNETES, LOCAL, aws_target, kubernetes_target
from controlplane.tenants.targets_file import AwsRegion
from embedded.ports import port_is_free

PORTS_PER_SLOT = 4
SLOTS = 100


class Placement(TypedDict, total=False):
    """The part of a StackSpec that says where; the key is the target."""

    local: LocalPlacement
    kubernetes: KubernetesPlacement
    aws: AwsPlacement


def placement_choose(tenant: Tenant) -> None:
    """Gives a new tenant its place, which its caller saves in the same transaction. Raises Conflict when the target
    is full, ValidationFailed when the place it wants is taken."""
    if tenant.target == LOCAL:
        tenant.slot = local_slot_find()
    elif tenant.target == AWS:
        own = aws_overrides(tenant.overrides, target=AWS)
        region = _region(tenant.region)
        tenant.cloud_account = own.account_id or aws_target().account_id
        tenant.zones = own.zones or region.zones
        tenant.network = network_take(
            account=tenant.cloud_account, region_name=tenant.region, region=region, wanted=own.vpc_cidr
        )


def placement_of(tenant: Tenant) -> Placement:
    """Where the tenant lives now; empty once it has given its place back."""
    if tenant.target == LOCAL and tenant.slot is not None:
        return {"local": local_placement(slug=tenant.slug, slot=tenant.slot)}
    if tenant.target == KUBERNETES:
        cluster = kubernetes_target()
        return {
            "kubernetes": KubernetesPlacement(
                kubeconfig=cluster.kubeconfig, context=cluster.context, cluster=cluster.cluster
            )
        }
    if tenant.target == AWS and tenant.network is not None:
        return {"aws": aws_placement(tenant, network=tenant.network)}
    return {}


def slot_ports(slot: int, *, base: int) -> LocalPorts:
    first = base + slot * PORTS_PER_SLOT
    return LocalPorts(postgres=first, cache=first + 1, vector_store=first + 2, runtime=first + 3)


def slot_choose(*, taken: Collection[int], base: int, is_free: Callable[[int], bool]) -> int | None:
    """The lowest slot that no tenant has and whose ports nobody listens on; None when all are used up."""
    for slot in range(SLOTS):
        if slot in taken:
            continue
        ports = slot_ports(slot, base=base)
        if all(is_free(port) for port in (ports.postgres, ports.cache, ports.vector_store, ports.runtime)):
            return slot
    return None


def local_slot_find() -> int:
    """A free slot on this machine. Raises Conflict when none is left."""
    slots = Tenant.objects.filter(slot__isnull=False).values_list("slot", flat=True)
    taken = {slot for slot in slots if slot is not None}
    slot = slot_choose(taken=taken, base=settings.FREEHOLD_TENANT_PORT_BASE, is_free=port_is_free)
    if slot is None:
        raise Conflict(
            f"All {SLOTS} places for local tenants are taken.",
            code="machine_full",
            hint="Delete a tenant, or set FREEHOLD_TENANT_PORT_BASE to a range with free ports.",
        )
    return slot


def local_placement(*, slug: str, slot: int) -> LocalPlacement:
    home: Path = settings.FREEHOLD_HOME
    return LocalPlacement(
        data_dir=str(home / "tenants" / slug),
        gpu_registry_dir=str(home / "gpus"),
        ports=slot_ports(slot, base=settings.FREEHOLD_TENANT_PORT_BASE),
    )


def aws_placement(tenant: Tenant, *, network: str) -> AwsPlacement:
    """Account, network and zones are the tenant's for life; the rest follows the targets file. In a customer's account
    only the role that the customer gave may administer the cluster."""
    file, region = aws_target(), _region(tenant.region)
    own = aws_overrides(tenant.overrides, target=AWS)
    at_home = own.role_arn is None
    return AwsPlacement(
        account_id=tenant.cloud_account or file.account_id,
        role_arn=own.role_arn,
        external_id=own.external_id,
        zones=tenant.zones,
        vpc_cidr=network,
        kubernetes_version=file.kubernetes_version,
        addons=file.addons,
        administrators=file.administrators if own.role_arn is None else [own.role_arn],
        system_instance_type=file.system_instance_type,
        cost_center=file.cost_center,
        transit_gateway_id=own.transit_gateway_id or (region.transit_gateway_id if at_home else None),
        certificate_arn=own.certificate_arn or (region.certificate_arn if at_home else None),
        offered_instance_types=region.offered_instance_types,
        gpu_vcpu_quota=region.gpu_vcpu_quota if at_home else None,
        cluster=file.cluster,
    )


def _region(name: str) -> AwsRegion:
    region = aws_target().regions.get(name)
    if region is None:
        raise OperatorError(
            f"The targets file has no section [aws.regions.{name}], but tenants live there.",
            code="target_not_described",
            hint="Put it back into the file that FREEHOLD_TARGETS_FILE names, and restart.",
        )
    return region
