"""The target `local`: the whole stack as processes of this machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi

from contracts.stack import BillableResource, Existing, StackOutputs, StackSecrets, StackSpec
from stacks.components.cache import CacheArgs, LocalCache
from stacks.components.gpu_pool import GpuPoolArgs, LocalGpuPool, gpu_billable
from stacks.components.local_resources import CredentialRetirement, DataDirectory, LocalSite
from stacks.components.postgres import LocalPostgres, PostgresArgs
from stacks.components.runtime import LocalRuntime, RuntimeArgs
from stacks.components.vector_store import LocalVectorStore, VectorStoreArgs

#: Slots of the meter database_hours: a part keeps its slot for ever, as its spans must not overlap.
DATABASE_SLOTS = {"postgres": 0, "vector_store": 1, "cache": 2}


def _secret(value: str | None) -> pulumi.Output[str] | None:
    return pulumi.Output.secret(value) if value else None


def program(spec: StackSpec, secrets: StackSecrets) -> Callable[[], None]:
    """The inline program. Exports `outputs` (a StackOutputs), and as secrets `postgres_url`, `redis_url`,
    `vector_url` and `runtime_admin_key`. TargetUnknown when the spec has no local placement.
    """
    site = LocalSite.of(spec)

    def build() -> None:
        admin_key = pulumi.Output.secret(secrets.runtime_admin_key)
        usage_token = pulumi.Output.secret(secrets.usage_token)

        directory = DataDirectory("directory", site)
        inside = pulumi.ResourceOptions(depends_on=[directory])
        postgres = LocalPostgres("postgres", PostgresArgs(spec.postgres), site, inside)
        cache = LocalCache("cache", CacheArgs(spec.cache), site, inside)
        vectors = LocalVectorStore("vector-store", VectorStoreArgs(spec.vector_store), site, inside)
        pool = GpuPoolArgs(spec.gpu, suspended=spec.suspended)
        # No GPU may go to another tenant while a process of this one uses it: it is taken before the runtime
        # starts, and given back after it has ended.
        taken = None if spec.suspended else LocalGpuPool("gpu-pool", pool, site, inside)
        runtime = LocalRuntime(
            "runtime",
            RuntimeArgs(
                config=spec.runtime,
                database_url=postgres.url,
                redis_url=cache.url,
                vector_url=vectors.url,
                admin_key=admin_key,
                usage_token=usage_token,
                model_api_key=_secret(secrets.model_api_key),
                token_keys=_secret(secrets.runtime_token_keys),
                storage_keys=_secret(secrets.runtime_storage_keys),
                webhook_secret=_secret(secrets.runtime_webhook_secret),
                gpus=taken.gpus if taken else None,
                suspended=spec.suspended,
            ),
            site,
            inside,
        )
        after = pulumi.ResourceOptions(depends_on=[directory, runtime])
        gpus = taken or LocalGpuPool("gpu-pool", pool, site, after)

        CredentialRetirement(
            "earlier-credentials",
            {
                "tenant": site.tenant,
                "folders": [site.folder(part) for part in ("postgres", "cache", "vector")],
                "credentials": spec.credentials,
            },
            after,
        )

        def outputs(known: dict[str, Any]) -> dict[str, Any]:
            costs = _existing(
                DATABASE_SLOTS,
                {"suspended": spec.suspended, "since": known["runtime_since"]},
                {"count": pool.wanted, "gpus": known["gpus"], "since": known["gpus_since"]},
            )
            return StackOutputs(
                runtime_url=known["runtime_url"],
                components=[
                    postgres.describe(),
                    cache.describe(),
                    vectors.describe(),
                    gpus.describe(known["gpus"], known["note"]),
                    runtime.describe(),
                ],
                billable=costs.billable,
                ended=costs.ended,
            ).model_dump(mode="json")

        pulumi.export(
            "outputs",
            pulumi.Output.all(
                runtime_url=runtime.url,
                runtime_since=runtime.since,
                gpus=gpus.gpus,
                note=gpus.note,
                gpus_since=gpus.since,
            ).apply(outputs),
        )
        pulumi.export("postgres_url", pulumi.Output.secret(postgres.url))
        pulumi.export("redis_url", pulumi.Output.secret(cache.url))
        pulumi.export("vector_url", pulumi.Output.secret(vectors.url))
        pulumi.export("runtime_admin_key", admin_key)

    return build


def existing(resources: Sequence[Mapping[str, Any]]) -> Existing:
    """What costs and runs now, by the resources of an exported state: for an apply that never came to its outputs."""
    outputs = {_type(resource): resource.get("outputs", {}) for resource in resources}
    stores = [
        str(resource.get("outputs", {}).get("component"))
        for resource in resources
        if _type(resource) in ("PostgresServer", "RedisServer")
    ]
    runtime = outputs.get("RuntimeProcess", {})
    found = _existing(stores, runtime, outputs.get("GpuAllocation", {}))
    return found.model_copy(update={"program_version": runtime.get("version")})


def _existing(
    stores: Sequence[str] | Mapping[str, int], runtime: Mapping[str, Any], pool: Mapping[str, Any]
) -> Existing:
    """From what the resources say of themselves. One that died by itself still exists: it is started again."""
    billable = [
        BillableResource(
            meter="database_hours",
            slot=DATABASE_SLOTS[store],
            resource=store,
            dimensions={"component": store},
        )
        for store in stores
        if store in DATABASE_SLOTS
    ]
    ended = {}
    since = runtime.get("since")
    if runtime.get("suspended") and not runtime.get("running"):
        if since is not None:
            ended["runtime_hours"] = since
    elif runtime:
        billable.append(BillableResource(meter="runtime_hours", slot=0, resource="runtime", since=since))
    gpus = list(pool.get("gpus") or [])
    billable += gpu_billable(gpus, pool.get("since"))
    if pool.get("count") == 0 and not gpus and pool.get("since"):
        ended["gpu_hours"] = pool["since"]
    return Existing.model_validate({"billable": billable, "ended": ended})


def _type(resource: Mapping[str, Any]) -> str:
    return str(resource.get("type", "")).rpartition(":")[2]
