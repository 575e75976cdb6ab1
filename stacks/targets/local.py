"""The target `local`: the whole stack as processes of this machine."""

from collections.abc import Callable
from typing import Any

import pulumi

from contracts.stack import BillableResource, StackOutputs, StackSecrets, StackSpec
from stacks.components.cache import CacheArgs, LocalCache
from stacks.components.gpu_pool import GpuPoolArgs, LocalGpuPool
from stacks.components.local_resources import DataDirectory, LocalSite
from stacks.components.postgres import LocalPostgres, PostgresArgs
from stacks.components.runtime import LocalRuntime, RuntimeArgs
from stacks.components.vector_store import LocalVectorStore, VectorStoreArgs

#: Slots of the meter database_hours: a part keeps its slot for ever, as its spans must not overlap.
DATABASE_SLOTS = {"postgres": 0, "vector_store": 1, "cache": 2}


def program(spec: StackSpec, secrets: StackSecrets) -> Callable[[], None]:
    """The inline program. Exports `outputs` (a StackOutputs), and as secrets `postgres_url`, `redis_url`,
    `vector_url` and `runtime_admin_key`. TargetUnknown when the spec has no local placement.
    """
    site = LocalSite.of(spec)

    def build() -> None:
        admin_key = pulumi.Output.secret(secrets.runtime_admin_key)
        usage_token = pulumi.Output.secret(secrets.usage_token)
        model_key = pulumi.Output.secret(secrets.model_api_key) if secrets.model_api_key else None

        directory = DataDirectory("directory", site)
        inside = pulumi.ResourceOptions(depends_on=[directory])
        postgres = LocalPostgres("postgres", PostgresArgs(spec.postgres), site, inside)
        cache = LocalCache("cache", CacheArgs(spec.cache), site, inside)
        vectors = LocalVectorStore("vector-store", VectorStoreArgs(spec.vector_store), site, inside)
        gpus = LocalGpuPool("gpu-pool", GpuPoolArgs(spec.gpu), site, inside)
        runtime = LocalRuntime(
            "runtime",
            RuntimeArgs(
                config=spec.runtime,
                database_url=postgres.url,
                redis_url=cache.url,
                vector_url=vectors.url,
                admin_key=admin_key,
                usage_token=usage_token,
                model_api_key=model_key,
                gpus=gpus.gpus,
            ),
            site,
            inside,
        )

        def outputs(known: dict[str, Any]) -> dict[str, Any]:
            return StackOutputs(
                runtime_url=known["runtime_url"],
                components=[
                    postgres.describe(),
                    cache.describe(),
                    vectors.describe(),
                    gpus.describe(known["gpus"], known["note"]),
                    runtime.describe(),
                ],
                billable=[*_billable_parts(), *gpus.billable(known["gpus"])],
            ).model_dump(mode="json")

        pulumi.export(
            "outputs",
            pulumi.Output.all(runtime_url=runtime.url, gpus=gpus.gpus, note=gpus.note).apply(outputs),
        )
        pulumi.export("postgres_url", pulumi.Output.secret(postgres.url))
        pulumi.export("redis_url", pulumi.Output.secret(cache.url))
        pulumi.export("vector_url", pulumi.Output.secret(vectors.url))
        pulumi.export("runtime_admin_key", admin_key)

    return build


def _billable_parts() -> list[BillableResource]:
    databases = [
        BillableResource(
            meter="database_hours", slot=slot, resource=component, dimensions={"component": component}
        )
        for component, slot in DATABASE_SLOTS.items()
    ]
    return [BillableResource(meter="runtime_hours", slot=0, resource="runtime"), *databases]
