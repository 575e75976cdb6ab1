"""A tenant's own network in AWS: one of its region's pool, or the one that its customer names.

Networks of the pool never overlap any other tenant's, whatever its account, since one control plane reaches all of
them by their private addresses. A network that a customer names must be free in its account.
"""

from collections.abc import Collection
from ipaddress import IPv4Network

from django.db import connection

from controlplane.core.errors import Conflict, FieldProblem, ValidationFailed
from controlplane.tenants.models import Tenant
from controlplane.tenants.targets_file import AwsRegion

#: One choice at a time over all workers: two at once would both find the same network free.
_CHOICE_LOCK = 0x4E_45_54_57_4F_52_4B


def network_choose(*, pool: IPv4Network, prefix: int, taken: Collection[IPv4Network]) -> IPv4Network | None:
    """The lowest network of the pool that overlaps none that is taken; None when all are used up."""
    return next(
        (
            network
            for network in pool.subnets(new_prefix=prefix)
            if not any(network.overlaps(other) for other in taken)
        ),
        None,
    )


def network_take(*, account: str, region_name: str, region: AwsRegion, wanted: str | None) -> str:
    """A network for a new tenant, nobody else's until the transaction that stores it has ended.

    Raises Conflict (`network_pool_exhausted`) when the pool has none left, ValidationFailed when the wanted one
    overlaps another tenant's in the same account.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHOICE_LOCK])
    held = Tenant.objects.filter(network__isnull=False).values_list("cloud_account", "network")
    if wanted is not None:
        _wanted_check(wanted, [str(network) for owner, network in held if owner == account])
        return wanted
    taken = [IPv4Network(str(network)) for _, network in held]
    chosen = network_choose(pool=region.pool, prefix=region.vpc_prefix, taken=taken)
    if chosen is None:
        raise Conflict(
            f"Every /{region.vpc_prefix} network of {region_name}'s pool {region.vpc_pool} is taken.",
            code="network_pool_exhausted",
            hint="Delete a tenant of that region, or give its pool more room in the targets file.",
        )
    return str(chosen)


def _wanted_check(wanted: str, held: Collection[str]) -> None:
    if any(IPv4Network(wanted).overlaps(IPv4Network(network)) for network in held):
        # Whose it is stays untold: it may be another team's.
        problem: FieldProblem = {
            "pointer": "/overrides/aws/vpc_cidr",
            "detail": f"{wanted} overlaps another tenant's network in the same account",
        }
        raise ValidationFailed(f"{problem['pointer']}: {problem['detail']}", errors=[problem])
