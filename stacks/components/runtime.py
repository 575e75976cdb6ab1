"""The agent runtime deployed for the tenant, on top of all its other parts."""

from dataclasses import dataclass
from typing import Any

import pulumi

from contracts.runtime import RuntimeConfig
from contracts.stack import ComponentOutput
from stacks.components.local_resources import LocalSite, RuntimeProcess


@dataclass(frozen=True)
class RuntimeArgs:
    config: RuntimeConfig
    database_url: pulumi.Output[str]
    redis_url: pulumi.Output[str]
    vector_url: pulumi.Output[str]
    admin_key: pulumi.Output[str]
    usage_token: pulumi.Output[str]
    model_api_key: pulumi.Output[str] | None
    token_keys: pulumi.Output[str] | None
    storage_keys: pulumi.Output[str] | None
    webhook_secret: pulumi.Output[str] | None
    gpus: pulumi.Output[list[dict[str, Any]]] | None
    """None while suspended: the GPUs are given back only after the process has ended."""
    suspended: bool = False


class LocalRuntime(pulumi.ComponentResource):
    """The runtime as a process of this machine; created once it answers on `/ready`.

    `since` is when it last began to run, or, suspended, when it ended.
    """

    url: pulumi.Output[str]
    since: pulumi.Output[str | None]

    def __init__(
        self, name: str, args: RuntimeArgs, site: LocalSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:local:Runtime", name, None, opts)
        self._args = args
        self._port = site.placement.ports.runtime
        config = args.config
        process = RuntimeProcess(
            f"{name}-process",
            {
                "tenant": site.tenant,
                "component": "runtime",
                "data_dir": site.folder("runtime"),
                "port": self._port,
                "version": config.version,
                "python": config.python,
                "workers": config.workers,
                "manifest": config.manifest,
                "model": config.model,
                "model_base_url": config.model_base_url,
                "usage_url": config.usage_url,
                "gpus": [] if args.gpus is None else args.gpus.apply(_uuids),
                "suspended": args.suspended,
                "database_url": args.database_url,
                "redis_url": args.redis_url,
                "vector_url": args.vector_url,
                "admin_key": args.admin_key,
                "usage_token": args.usage_token,
                "model_api_key": args.model_api_key,
                "token_keys": args.token_keys,
                "storage_keys": args.storage_keys,
                "webhook_secret": args.webhook_secret,
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.url, self.since = process.url, process.since
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        return ComponentOutput(
            name="runtime",
            kind="runtime",
            summary=f"agent runtime {self._args.config.version} "
            + ("(suspended)" if self._args.suspended else f"on 127.0.0.1:{self._port}"),
            details={
                "port": self._port,
                "version": self._args.config.version,
                "workers": self._args.config.workers,
                "model": self._args.config.model,
            },
        )


def _uuids(gpus: list[dict[str, Any]]) -> list[str]:
    return [str(gpu["uuid"]) for gpu in gpus]
