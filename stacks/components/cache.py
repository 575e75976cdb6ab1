"""The tenant's Redis: wake-ups and rate limits, never the truth."""

from dataclasses import dataclass

import pulumi

from contracts.stack import CacheSize, ComponentOutput
from stacks.components.local_resources import LocalSite, RedisServer


@dataclass(frozen=True)
class CacheArgs:
    size: CacheSize


class LocalCache(pulumi.ComponentResource):
    """A Redis process of its own. `url` is secret."""

    url: pulumi.Output[str]

    def __init__(
        self, name: str, args: CacheArgs, site: LocalSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:local:Cache", name, None, opts)
        self._args = args
        self._port = site.placement.ports.cache
        server = RedisServer(
            f"{name}-server",
            {
                "tenant": site.tenant,
                "component": "cache",
                "data_dir": site.folder("cache"),
                "port": self._port,
                "max_memory_mb": args.size.max_memory_mb,
                "credentials": site.credentials,
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.url = server.url
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        return ComponentOutput(
            name="cache",
            kind="cache",
            summary=f"Redis 6.2 on 127.0.0.1:{self._port}",
            details={"port": self._port, "max_memory_mb": self._args.size.max_memory_mb},
        )
