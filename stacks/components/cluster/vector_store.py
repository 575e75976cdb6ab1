"""The tenant's vector store in a cluster: Weaviate unless its plan names Qdrant or pgvector."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts.stack import ComponentOutput, VectorStoreKind, VectorStoreSize
from stacks.components.cluster.pods import resources
from stacks.components.cluster.postgres import PORT as POSTGRES_PORT
from stacks.components.cluster.postgres import ClusterPostgres
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.store import ClusterStore, StoreArgs
from stacks.components.passwords import Passwords

USUAL: VectorStoreKind = "weaviate"
PORTS: dict[VectorStoreKind, int] = {"weaviate": 8080, "qdrant": 6333, "pgvector": POSTGRES_PORT}
#: The identity that an API key stands for in Weaviate's RBAC: the runtime, and nobody else.
_WEAVIATE_USER = "runtime"


@dataclass(frozen=True)
class VectorStoreArgs:
    size: VectorStoreSize
    backup_bucket: pulumi.Output[str] | None = None
    """S3 bucket of Weaviate's backups; None: the cluster's operator has none for it."""
    backup_region: str | None = None

    @property
    def kind(self) -> VectorStoreKind:
        return self.size.kind or USUAL


class ClusterVectorStore(pulumi.ComponentResource):
    """`url` says which engine it is by its scheme (postgresql, weaviate, qdrant). `api_key` is None where the URL
    holds the password. Both are secret."""

    url: pulumi.Output[str]
    api_key: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: VectorStoreArgs,
        site: ClusterSite,
        passwords: Passwords,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:VectorStore", name, None, opts)
        self._name, self._args, self._site = name, args, site
        inside = pulumi.ResourceOptions(parent=self)
        if args.kind == "pgvector":
            size = args.size
            self.api_key = None
            self.url = ClusterPostgres(
                name,
                site,
                password=passwords.of(name),
                superuser_password=passwords.of(f"{name}-superuser"),
                max_connections=size.max_connections,
                shared_buffers_mb=size.shared_buffers_mb,
                storage_gb=size.storage_gb,
                opts=inside,
            ).url
        else:
            self.api_key = pulumi.Output.secret(passwords.of(name))
            store = self._weaviate() if args.kind == "weaviate" else self._qdrant()
            ClusterStore(name, store, site, inside)
            self.url = pulumi.Output.secret(f"{args.kind}://{site.host(name)}:{store.port}")
        self.register_outputs({"url": self.url})

    @property
    def port(self) -> int:
        return PORTS[self._args.kind]

    def _weaviate(self) -> StoreArgs:
        site, size = self._site, self._args.size
        account = None
        environment: dict[str, Any] = {
            "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
            "AUTHENTICATION_APIKEY_ENABLED": "true",
            "AUTHENTICATION_APIKEY_USERS": _WEAVIATE_USER,
            "AUTHORIZATION_RBAC_ENABLED": "true",
            "AUTHORIZATION_RBAC_ROOT_USERS": _WEAVIATE_USER,
            "DEFAULT_VECTORIZER_MODULE": "none",
            "DISABLE_TELEMETRY": "true",
            "CLUSTER_HOSTNAME": "node1",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "RAFT_BOOTSTRAP_EXPECT": "1",
            # Weaviate's Go runtime collects before the kernel would end it.
            "GOMEMLIMIT": f"{size.memory_mb * 9 // 10}MiB",
        }
        if self._args.backup_bucket is not None:
            account = self._name
            k8s.core.v1.ServiceAccount(
                f"{self._name}-account",
                metadata=site.metadata(account),
                automount_service_account_token=False,
                opts=site.options(self),
            )
            environment |= {
                "ENABLE_MODULES": "backup-s3",
                "BACKUP_S3_BUCKET": self._args.backup_bucket,
                "BACKUP_S3_PATH": "weaviate",
                "AWS_REGION": self._args.backup_region,
            }
        ready = {"httpGet": {"path": "/v1/.well-known/ready", "port": PORTS["weaviate"]}}
        live = {"httpGet": {"path": "/v1/.well-known/live", "port": PORTS["weaviate"]}}
        assert self.api_key is not None
        return StoreArgs(
            port=PORTS["weaviate"],
            mount="/var/lib/weaviate",
            storage_gb=size.storage_gb,
            secret={"api-key": self.api_key},
            service_account=account,
            container={
                "image": site.settings.images.weaviate,
                "args": ["--host", "0.0.0.0", "--port", str(PORTS["weaviate"]), "--scheme", "http"],  # noqa: S104
                "env": [
                    *({"name": key, "value": value} for key, value in environment.items()),
                    _from_secret("AUTHENTICATION_APIKEY_ALLOWED_KEYS", self._name),
                ],
                "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 90},
                "readinessProbe": {**ready, "periodSeconds": 5},
                "livenessProbe": {**live, "periodSeconds": 20, "failureThreshold": 6},
                "resources": resources(cpu="250m", memory_mb=size.memory_mb),
            },
        )

    def _qdrant(self) -> StoreArgs:
        site, size = self._site, self._args.size
        ready = {"httpGet": {"path": "/readyz", "port": PORTS["qdrant"]}}
        assert self.api_key is not None
        return StoreArgs(
            port=PORTS["qdrant"],
            mount="/qdrant/storage",
            storage_gb=size.storage_gb,
            secret={"api-key": self.api_key},
            container={
                "image": site.settings.images.qdrant,
                "env": [
                    _from_secret("QDRANT__SERVICE__API_KEY", self._name),
                    {"name": "QDRANT__STORAGE__SNAPSHOTS_PATH", "value": "/qdrant/storage/snapshots"},
                    {"name": "QDRANT__TELEMETRY_DISABLED", "value": "true"},
                ],
                "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 90},
                "readinessProbe": {**ready, "periodSeconds": 5},
                "livenessProbe": {**ready, "periodSeconds": 20, "failureThreshold": 6},
                "resources": resources(cpu="250m", memory_mb=size.memory_mb),
            },
        )

    def describe(self) -> ComponentOutput:
        engine = {"pgvector": "pgvector", "weaviate": "Weaviate", "qdrant": "Qdrant"}[self._args.kind]
        return ComponentOutput(
            name="vector_store",
            kind="vector_store",
            summary=f"{engine} in namespace {self._site.namespace}",
            details={
                "engine": self._args.kind,
                "host": self._site.host(self._name),
                "storage_gb": self._args.size.storage_gb,
            },
        )


def _from_secret(variable: str, secret: str, key: str = "api-key") -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
