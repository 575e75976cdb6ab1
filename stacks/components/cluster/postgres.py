"""Postgres in a cluster: the tenant's relational store (target kubernetes), or pgvector as its vector store."""

from typing import Any

import pulumi

from contracts.stack import ComponentOutput
from stacks.components.cluster.pods import resources, scratch, secret_volume
from stacks.components.cluster.site import ClusterSite
from stacks.components.cluster.store import ClusterStore, StoreArgs

PORT = 5432
#: Memory of one connection's backend beside the shared buffers.
_CONNECTION_MB = 6
_BASE_MB = 128

#: The owner is an ordinary role: it owns its database and nothing else. Run by the image on an empty volume only.
_FIRST_START = """\
#!/bin/sh
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username postgres <<'SQL'
CREATE ROLE agents LOGIN;
CREATE DATABASE agents OWNER agents;
REVOKE ALL ON DATABASE agents FROM PUBLIC;
\\connect agents
CREATE EXTENSION IF NOT EXISTS vector;
SQL
"""
#: Run at every start, over the socket, which trusts: so a new generation's password is valid once the pod is back.
#: The password goes from its file into the statement inside psql; no process list shows it.
_EVERY_START = """\
#!/bin/sh
set -eu
until pg_isready --quiet --host /var/run/postgresql && psql --no-psqlrc --username postgres --quiet \\
  --command 'SELECT 1 FROM pg_roles WHERE rolname = $$agents$$' --tuples-only | grep -q 1; do sleep 1; done
psql --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --quiet <<'SQL'
\\set password `cat /run/credentials/owner-password`
ALTER ROLE agents PASSWORD :'password';
SQL
"""


class ClusterPostgres(pulumi.ComponentResource):
    """One Postgres with the pgvector extension. `url` is the owner's, and secret."""

    url: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        site: ClusterSite,
        *,
        password: str,
        superuser_password: str,
        max_connections: int,
        shared_buffers_mb: int,
        storage_gb: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:Postgres", name, None, opts)
        self._name, self._site, self._storage_gb = name, site, storage_gb
        self._connections = max_connections
        owner = pulumi.Output.secret(password)
        memory = _BASE_MB + shared_buffers_mb + _CONNECTION_MB * max_connections
        ClusterStore(
            name,
            StoreArgs(
                port=PORT,
                mount="/var/lib/postgresql/data",
                storage_gb=storage_gb,
                secret={
                    "owner-password": owner,
                    "superuser-password": pulumi.Output.secret(superuser_password),
                },
                files={"first-start.sh": _FIRST_START, "every-start.sh": _EVERY_START},
                volumes=[
                    secret_volume("credentials", name),
                    {"name": "files", "configMap": {"name": name, "defaultMode": 0o555}},
                    scratch("socket", size="1Mi"),
                ],
                container=_container(site, max_connections, shared_buffers_mb, memory),
            ),
            site,
            pulumi.ResourceOptions(parent=self),
        )
        host = site.host(name)
        self.url = owner.apply(lambda word: f"postgresql://agents:{word}@{host}:{PORT}/agents")
        self.register_outputs({"url": self.url})

    def describe(self, kind: Any) -> ComponentOutput:
        return ComponentOutput(
            name=self._name.replace("-", "_"),
            kind=kind,
            summary=f"Postgres in namespace {self._site.namespace}",
            details={
                "host": self._site.host(self._name),
                "max_connections": self._connections,
                "storage_gb": self._storage_gb,
            },
        )


def _container(site: ClusterSite, connections: int, buffers_mb: int, memory_mb: int) -> dict[str, Any]:
    ready = {"exec": {"command": ["pg_isready", "--quiet", "--host", "/var/run/postgresql"]}}
    return {
        "image": site.settings.images.postgres,
        "args": [
            "-c", f"max_connections={connections}",
            "-c", f"shared_buffers={buffers_mb}MB",
            "-c", "password_encryption=scram-sha-256",
        ],
        "env": [
            {"name": "POSTGRES_PASSWORD_FILE", "value": "/run/credentials/superuser-password"},
            # A volume's own root holds lost+found: initdb wants an empty folder.
            {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
        ],
        "lifecycle": {"postStart": {"exec": {"command": ["timeout", "120", "/run/files/every-start.sh"]}}},
        "startupProbe": {**ready, "periodSeconds": 2, "failureThreshold": 90},
        "readinessProbe": {**ready, "periodSeconds": 5},
        "livenessProbe": {**ready, "periodSeconds": 20, "failureThreshold": 6},
        "resources": resources(cpu="250m", memory_mb=memory_mb),
        "volumeMounts": [
            {"name": "credentials", "mountPath": "/run/credentials", "readOnly": True},
            {"name": "files", "mountPath": "/run/files", "readOnly": True},
            {
                "name": "files",
                "mountPath": "/docker-entrypoint-initdb.d/first-start.sh",
                "subPath": "first-start.sh",
                "readOnly": True,
            },
            {"name": "socket", "mountPath": "/var/run/postgresql"},
        ],
    }  # fmt: skip
