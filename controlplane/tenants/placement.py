"""Where a local tenant lives: a slot of four ports and a folder. Chosen before creation, so programs stay pure."""

from collections.abc import Callable, Collection
from pathlib import Path

from django.conf import settings

from contracts.placement import LocalPlacement, LocalPorts
from controlplane.core.errors import Conflict
from controlplane.tenants.models import Tenant
from embedded.ports import port_is_free

PORTS_PER_SLOT = 4
SLOTS = 100


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
