"""All of a tenant that is the same in every cluster: walls, vector store, model server, runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from contracts.stack import ComponentOutput, StackSecrets, StackSpec
from stacks.components.cluster import model_server
from stacks.components.cluster.model_server import ModelServer, ModelServerArgs
from stacks.components.cluster.namespace import (
    HTTPS,
    ClusterNamespace,
    Door,
    NamespaceArgs,
    NetworkIsolation,
    Way,
)
from stacks.components.cluster.runtime import PORT as RUNTIME_PORT
from stacks.components.cluster.runtime import Balancer, ClusterRuntime, ClusterRuntimeArgs
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.vector_store import ClusterVectorStore, VectorStoreArgs
from stacks.components.passwords import Passwords

RUNTIME, VECTORS, MODEL = "runtime", "vector-store", "model-server"


@dataclass(frozen=True)
class TenantArgs:
    """What the target itself brings: its stores' URLs, and how the runtime reaches and is reached.

    `doors` and `ways` are the stores' own, beside those that every tenant has; `volumes` and `storage_gb` likewise.
    """

    store_secrets: Mapping[str, pulumi.Output[str]]
    vectors: VectorStoreArgs
    doors: Sequence[Door] = ()
    ways: Sequence[Way] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    balancer: Balancer | None = None
    entrances: Sequence[str] = ()
    """Networks from which the runtime is called, beside the control plane's."""


def namespace_args(
    spec: StackSpec, site: ClusterSite, *, store_gb: Sequence[int], balancers: int
) -> NamespaceArgs:
    """The quota that the parts need: volumes of the stores named, the vector store's, one for each copy of the
    model."""
    model = site.settings.model
    copies = spec.gpu.count // model.gpus_per_replica if model is not None else 0
    volumes = [*store_gb, spec.vector_store.storage_gb, *([model.cache_gb] * copies if model else [])]
    return NamespaceArgs(
        gpus=spec.gpu.count,
        volumes=len(volumes),
        storage_gb=sum(volumes),
        load_balancers=balancers,
        cpu=16 + 4 * spec.gpu.count,
        memory_gb=32 + 16 * spec.gpu.count + spec.vector_store.memory_mb // 1024,
    )


class ClusterTenant:
    """Builds the parts in `namespace`; `runtime` and `describe()` are for the target's outputs."""

    def __init__(
        self,
        spec: StackSpec,
        secrets: StackSecrets,
        args: TenantArgs,
        site: ClusterSite,
        passwords: Passwords,
        namespace: ClusterNamespace,
    ) -> None:
        inside = pulumi.ResourceOptions(depends_on=namespace.ready)
        self._spec, self._site = spec, site
        self.vectors = ClusterVectorStore(VECTORS, args.vectors, site, passwords, inside)
        self.model = self._model(passwords, inside)
        outside = list(site.settings.control_plane_cidrs)
        ways = [Way(RUNTIME, HTTPS, outside), *args.ways]
        doors = [
            Door(RUNTIME, RUNTIME_PORT, networks=[*outside, *args.entrances]),
            Door(VECTORS, self.vectors.port, parts=[RUNTIME]),
            *args.doors,
        ]
        if self.model is not None:
            doors.append(Door(MODEL, model_server.PORT, parts=[RUNTIME]))
            ways.append(Way(MODEL, HTTPS, site.settings.model_cidrs))
        elif spec.runtime.model_base_url is not None:
            ways.append(Way(RUNTIME, HTTPS, site.settings.model_cidrs))
        walls = NetworkIsolation("network", _merged(doors), _merged_ways(ways), site, inside)
        self.runtime = ClusterRuntime(
            RUNTIME,
            ClusterRuntimeArgs(
                config=spec.runtime,
                secrets=self._secrets(secrets, args),
                model=site.settings.model.name if self.model and site.settings.model else None,
                model_base_url=self.model.base_url if self.model else None,
                environment=args.environment,
                balancer=args.balancer,
            ),
            site,
            # Its readiness asks the stores: they and the ways to them come first, and go last.
            pulumi.ResourceOptions(depends_on=[*namespace.ready, self.vectors, walls]),
        )

    def _model(self, passwords: Passwords, opts: pulumi.ResourceOptions) -> ModelServer | None:
        model = self._site.settings.model
        if model is None or not self._spec.gpu.count:
            return None
        args = ModelServerArgs(model=model, gpus=self._spec.gpu.count)
        return ModelServer(MODEL, args, self._site, api_key=passwords.of(MODEL), opts=opts)

    def _secrets(self, secrets: StackSecrets, args: TenantArgs) -> dict[str, pulumi.Output[str]]:
        found = {
            **args.store_secrets,
            "vector_url": self.vectors.url,
            "admin_key": pulumi.Output.secret(secrets.runtime_admin_key),
            "usage_token": pulumi.Output.secret(secrets.usage_token),
        }
        for name, value in (
            ("token_keys", secrets.runtime_token_keys),
            ("storage_keys", secrets.runtime_storage_keys),
            ("webhook_secret", secrets.runtime_webhook_secret),
        ):
            if value:
                found[name] = pulumi.Output.secret(value)
        if self.vectors.api_key is not None:
            found["vector_api_key"] = self.vectors.api_key
        if self.model is not None:
            found["model_api_key"] = self.model.api_key
        elif secrets.model_api_key:
            found["model_api_key"] = pulumi.Output.secret(secrets.model_api_key)
        return found

    def describe_gpus(self, *, where: str, nodes: int | None = None) -> ComponentOutput:
        wanted = self._spec.gpu.count
        if not wanted:
            summary = "no GPU"
        elif self._spec.suspended:
            summary = f"no GPU (suspended; {wanted} wanted when resumed)"
        else:
            summary = f"{wanted} {where}"
        details: dict[str, str | int | bool | None] = {"wanted": wanted}
        if nodes is not None:
            details["nodes"] = nodes
        if self.model is not None and self._site.settings.model is not None:
            details["model"] = self._site.settings.model.name
        return ComponentOutput(name="gpu_pool", kind="gpu_pool", summary=summary, details=details)


def _merged(doors: Sequence[Door]) -> list[Door]:
    """One door a part and port: policies are named by them."""
    found: dict[tuple[str, int], Door] = {}
    for door in doors:
        known = found.get((door.part, door.port), Door(door.part, door.port))
        found[door.part, door.port] = Door(
            door.part, door.port, [*known.parts, *door.parts], [*known.networks, *door.networks]
        )
    return list(found.values())


def _merged_ways(ways: Sequence[Way]) -> list[Way]:
    found: dict[tuple[str, int], Way] = {}
    for way in ways:
        known = found.get((way.part, way.port), Way(way.part, way.port, []))
        networks = dict.fromkeys([*known.networks, *way.networks])
        found[way.part, way.port] = Way(way.part, way.port, list(networks))
    return list(found.values())
