"""The tenant's vector store: the long-term memory of its agents, apart from the database of its runs."""

from dataclasses import dataclass

import pulumi

from contracts.stack import ComponentOutput, VectorStoreSize
from stacks.components.local_resources import LocalSite, PostgresServer


@dataclass(frozen=True)
class VectorStoreArgs:
    size: VectorStoreSize
    """Of the kind pgvector: the programs see to it."""
    database: str = "vectors"
    owner: str = "agents"


class LocalVectorStore(pulumi.ComponentResource):
    """pgvector in a Postgres process of its own. `url` is the owner's, and secret."""

    url: pulumi.Output[str]

    def __init__(
        self, name: str, args: VectorStoreArgs, site: LocalSite, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("freehold:local:VectorStore", name, None, opts)
        self._args = args
        self._port = site.placement.ports.vector_store
        server = PostgresServer(
            f"{name}-server",
            {
                "tenant": site.tenant,
                "component": "vector_store",
                "data_dir": site.folder("vector"),
                "port": self._port,
                "database": args.database,
                "owner": args.owner,
                "credentials": site.credentials,
                "max_connections": args.size.max_connections,
                "shared_buffers_mb": args.size.shared_buffers_mb,
                "extensions": ["vector"],
            },
            pulumi.ResourceOptions(parent=self),
        )
        self.url = server.url
        self.register_outputs({"url": self.url})

    def describe(self) -> ComponentOutput:
        return ComponentOutput(
            name="vector_store",
            kind="vector_store",
            summary=f"pgvector on 127.0.0.1:{self._port}",
            details={
                "port": self._port,
                "engine": "pgvector",
                "database": self._args.database,
                "max_connections": self._args.size.max_connections,
            },
        )
