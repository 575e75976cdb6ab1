"""Valkey in a cluster (target kubernetes)."""

import pulumi

from contracts.stack import CacheSize, ComponentOutput
from stacks.components.cluster.pods import resources, secret_volume
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.store import ClusterStore, StoreArgs

PORT = 6379
#: The process and its copy-on-write pages while it writes its file.
_OVERHEAD_MB = 64


class ClusterCache(pulumi.ComponentResource):
    """One Valkey with an append-only file. `url` is secret."""

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        size: CacheSize,
        site: ClusterSite,
        *,
        password: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:Cache", name, None, opts)
        self._name, self._size, self._site = name, size, site
        secret = pulumi.Output.secret(password)
        # With the password in its file, no process list and no environment shows it.
        config = secret.apply(lambda word: _config(word, size.max_memory_mb))
        probe = {"tcpSocket": {"port": PORT}}
        ClusterStore(
            name,
            StoreArgs(
                port=PORT,
                mount="/data",
                storage_gb=1 + 2 * size.max_memory_mb // 1024,
                secret={"valkey.conf": config},
                volumes=[secret_volume("config", name)],
                container={
                    "image": site.settings.images.valkey,
                    "command": ["valkey-server", "/run/config/valkey.conf"],
                    "workingDir": "/data",
                    "readinessProbe": {**probe, "periodSeconds": 5},
                    "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 6},
                    "resources": resources(cpu="100m", memory_mb=2 * size.max_memory_mb + _OVERHEAD_MB),
                    "volumeMounts": [{"name": "config", "mountPath": "/run/config", "readOnly": True}],
                },
            ),
            site,
            pulumi.ResourceOptions(parent=self),
        )
        self.url = secret.apply(lambda word: f"redis://:{word}@{site.host(name)}:{PORT}/0")
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        return ComponentOutput(
            name="cache",
            kind="cache",
            summary=f"Valkey in namespace {self._site.namespace}",
            details={"host": self._site.host(self._name), "max_memory_mb": self._size.max_memory_mb},
        )


def _config(password: str, megabytes: int) -> str:
    return (
        f"requirepass {password}\nmaxmemory {megabytes}mb\nmaxmemory-policy noeviction\n"
        f"appendonly yes\ndir /data\nport {PORT}\nprotected-mode yes\n"
    )
