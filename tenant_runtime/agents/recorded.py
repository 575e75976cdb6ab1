"""State schemas as the database recorded them: a version whose state has changed since is not served.

Threads keep states of the shape their agent had. A changed shape under an unchanged version would read them wrong
without a word, so it takes a new version, which says that somebody thought of them.
"""

from collections.abc import Collection

from psycopg import AsyncConnection, Error, Rollback
from psycopg.errors import UndefinedTable
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.agents.report import Problem
from tenant_runtime.agents.schemas import difference, fingerprint
from tenant_runtime.database import Connection
from tenant_runtime.database_login import login_open
from tenant_runtime.errors import StartRefused
from tenant_runtime.settings import Settings


async def schemas_compare(conn: Connection, agents: Collection[LoadedAgent]) -> list[Problem]:
    """Agents whose state is not what was recorded for their version. Versions without a record are fine."""
    problems: list[Problem] = []
    for agent in agents:
        entry = agent.entry
        cursor = await conn.execute(
            "SELECT fingerprint, schema FROM agent_schemas WHERE agent = %s AND version = %s",
            [entry.name, entry.version],
        )
        row = await cursor.fetchone()
        if row is None or row["fingerprint"] == fingerprint(agent.schema):
            continue
        detail = f"version {entry.version!r} is recorded with another state ({difference(row['schema'], agent.schema)})"
        todo = "give the agent a new `version`, or take the change of its state back"
        problems.append(Problem("schema_changed", f"agent {entry.name!r}", detail, todo))
    return problems


async def schemas_record(conn: Connection, agents: Collection[LoadedAgent]) -> list[Problem]:
    """Records versions that are new, in one transaction; when anything differs, says so and records nothing."""
    async with conn.transaction():
        problems = await schemas_compare(conn, agents)
        if problems:
            return problems
        for agent in agents:
            await conn.execute(
                "INSERT INTO agent_schemas (agent, version, fingerprint, schema) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                [agent.entry.name, agent.entry.version, fingerprint(agent.schema), Jsonb(agent.schema)],
            )
        # Another replica may have recorded its own in the same moment; the row that is there counts.
        problems = await schemas_compare(conn, agents)
        if problems:
            raise Rollback
    return problems


async def schemas_look(settings: Settings, agents: Collection[LoadedAgent]) -> list[Problem]:
    """Compares without serving: one connection, nothing written. A database that was never used has no records."""
    try:
        login = await login_open(settings)
        conn = await login.connect(
            AsyncConnection.connect, autocommit=True, connect_timeout=5, row_factory=dict_row
        )
        async with conn:
            return await schemas_compare(conn, agents)
    except UndefinedTable:
        return []
    except (Error, OSError, StartRefused) as error:
        detail = f"the recorded state schemas cannot be read: {type(error).__name__}"
        return [Problem("schema_unknown", "database", detail, "check RUNTIME_DATABASE_URL and the server")]
