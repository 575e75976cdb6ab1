"""The tenant's relational database: threads, runs and the ledger of its agents."""

from dataclasses import dataclass

import pulumi

from contracts.stack import ComponentOutput, PostgresSize
from stacks.components.local_resources import LocalSite, PostgresServer


@dataclass(frozen=True)
class PostgresArgs:
    size: PostgresSize
    database: str = "agents"
    owner: str = "agents"
    """An ordinary role: it owns its database and nothing else."""


class LocalPostgres(pulumi.ComponentResource):
    """A Postgres process of its own. `url` is the owner's, and secret."""

    url: pulumi.Output[str]

    def __init__(
        self, name: str, args: PostgresArgs, site: LocalSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:local:Postgres", name, None, opts)
        self._args = args
        self._port = site.placement.ports.postgres
        server = PostgresServer(
            f"{name}-server",
            {
                "tenant": site.tenant,
                "component": "postgres",
                "data_dir": site.folder("postgres"),
                "port": self._port,
                "database": args.database,
                "owner": args.owner,
                "credentials": site.credentials,
                "max_connections": args.size.max_connections,
                "shared_buffers_mb": args.size.shared_buffers_mb,
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.url = server.url
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        return ComponentOutput(
            name="postgres",
            kind="postgres",
            summary=f"Postgres 16 on 127.0.0.1:{self._port}",
            details={
                "port": self._port,
                "database": self._args.database,
                "max_connections": self._args.size.max_connections,
                "shared_buffers_mb": self._args.size.shared_buffers_mb,
            },
        )
