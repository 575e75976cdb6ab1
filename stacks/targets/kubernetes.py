"""The target `kubernetes`: the whole stack in a namespace of an existing cluster, on GPU nodes of the tenant's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts.placement import KubernetesPlacement
from contracts.stack import Existing, StackOutputs, StackSecrets, StackSpec
from stacks.components.cluster.cache import PORT as CACHE_PORT
from stacks.components.cluster.cache import ClusterCache
from stacks.components.cluster.namespace import ClusterNamespace, Door
from stacks.components.cluster.postgres import PORT as POSTGRES_PORT
from stacks.components.cluster.postgres import ClusterPostgres
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.tenant import RUNTIME, ClusterTenant, TenantArgs, namespace_args
from stacks.components.cluster.vector_store import VectorStoreArgs
from stacks.components.passwords import Passwords
from stacks.errors import TargetUnknown
from stacks.targets.billable import cluster_billable, existing_of, stores_billable
from stacks.targets.checks import cluster_check

POSTGRES, CACHE = "postgres", "cache"
#: Slots of the meter database_hours: a part keeps its slot for ever, as its spans must not overlap.
STORES = {POSTGRES: 0, "vector-store": 1, CACHE: 2}


def program(spec: StackSpec, secrets: StackSecrets) -> Callable[[], None]:
    """The inline program. Exports `outputs` (a StackOutputs), and as secrets `postgres_url`, `redis_url`,
    `vector_url` and `runtime_admin_key`. TargetUnknown without a placement, InputInvalid for one that cannot be.
    """
    place = _placement(spec)
    cluster_check(spec, place.cluster)
    passwords = Passwords(spec, secrets)

    def build() -> None:
        site = ClusterSite(
            slug=spec.slug,
            plan=spec.plan,
            settings=place.cluster,
            provider=k8s.Provider(
                "cluster",
                kubeconfig=place.kubeconfig,
                context=place.context,
                enable_server_side_apply=True,
                # New passwords change objects in place: by default the provider makes each anew.
                enable_secret_mutable=True,
                enable_config_map_mutable=True,
                # The stack is the truth: what was changed by hand is put right, not argued about.
                enable_patch_force=True,
            ),
            credentials=spec.credentials,
            suspended=spec.suspended,
        )
        namespace = ClusterNamespace(
            "namespace",
            namespace_args(
                spec,
                site,
                store_gb=[spec.postgres.storage_gb, 1 + 2 * spec.cache.max_memory_mb // 1024],
                balancers=0,
            ),
            site,
        )
        inside = pulumi.ResourceOptions(depends_on=namespace.ready)
        postgres = ClusterPostgres(
            POSTGRES,
            site,
            password=passwords.of(POSTGRES),
            superuser_password=passwords.of(f"{POSTGRES}-superuser"),
            max_connections=spec.postgres.max_connections,
            shared_buffers_mb=spec.postgres.shared_buffers_mb,
            storage_gb=spec.postgres.storage_gb,
            opts=inside,
        )
        cache = ClusterCache(CACHE, spec.cache, site, password=passwords.of(CACHE), opts=inside)
        tenant = ClusterTenant(
            spec,
            secrets,
            TenantArgs(
                store_secrets={"database_url": postgres.url, "redis_url": cache.url},
                vectors=VectorStoreArgs(spec.vector_store),
                doors=[
                    Door(POSTGRES, POSTGRES_PORT, parts=[RUNTIME]),
                    Door(CACHE, CACHE_PORT, parts=[RUNTIME]),
                ],
            ),
            site,
            passwords,
            namespace,
        )
        outputs = StackOutputs(
            runtime_url=tenant.runtime.url,
            components=[
                postgres.describe("postgres"),
                cache.describe(),
                tenant.vectors.describe(),
                tenant.describe_gpus(where="on nodes of the tenant's own"),
                tenant.runtime.describe(),
            ],
            billable=[
                *stores_billable(STORES),
                *cluster_billable(spec.gpu.count, suspended=spec.suspended, model="nvidia.com/gpu"),
            ],
        )
        pulumi.export("outputs", outputs.model_dump(mode="json"))
        pulumi.export("postgres_url", postgres.url)
        pulumi.export("redis_url", cache.url)
        pulumi.export("vector_url", tenant.vectors.url)
        pulumi.export("runtime_admin_key", pulumi.Output.secret(secrets.runtime_admin_key))

    return build


def existing(resources: Sequence[Mapping[str, Any]]) -> Existing:
    """What costs and runs now, by the resources of an exported state: for an apply that never came to its outputs."""
    return existing_of(resources, STORES)


def _placement(spec: StackSpec) -> KubernetesPlacement:
    if spec.kubernetes is None:
        raise TargetUnknown(
            f"the spec of tenant {spec.slug} has no `kubernetes` placement: the target kubernetes needs its cluster"
        )
    return spec.kubernetes
