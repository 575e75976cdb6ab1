"""The outbox: usage events kept beside the facts they report, until the control plane has taken them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.usage import DATA_TYPES, MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE, UsageEvent
from tenant_runtime.database import Connection, Pool
from tenant_runtime.models.client import TokenUsage


class Outbox:
    """Builds and stores events. `woken` is called after a write that should leave the house soon."""

    def __init__(self, pool: Pool, *, tenant: str, replica: str) -> None:
        self._pool = pool
        self.tenant = tenant
        self.source = f"/tenants/{tenant}/runtime/{replica}"
        self.woken: Callable[[], None] = lambda: None

    async def write(self, conn: Connection, *, id_: str, type_: str, data: dict[str, Any]) -> None:
        """Stores one event on the caller's connection (and so in its transaction).

        The id is deterministic: writing the same fact again is a no-op, and its first body stands.
        """
        checked = DATA_TYPES[type_].model_validate(data).model_dump(mode="json")
        event = UsageEvent(
            id=id_, source=self.source, type=type_, subject=self.tenant, time=datetime.now(UTC), data=checked
        )
        await conn.execute(
            "INSERT INTO usage_outbox (source, id, body) VALUES (%s, %s, %s) ON CONFLICT (source, id) DO NOTHING",
            [self.source, id_, event.model_dump_json()],
        )

    async def model_call(
        self, conn: Connection, *, id_: str, run_id: str, place: str, user: str, agent: str, version: str, model: str,
        usage: TokenUsage,
    ) -> None:  # fmt: skip
        """One finished model call, which also counts in the run's row; on the caller's transaction."""
        data = {
            "run_id": run_id, "step": place, "user": user, "agent": agent, "agent_version": version, "model": model,
            "input_tokens": usage.input, "cached_input_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write, "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
        }  # fmt: skip
        await self.write(conn, id_=id_, type_=MODEL_USAGE, data=data)
        await conn.execute(
            "UPDATE runs SET model_calls = model_calls + 1 WHERE run_id = %s", [_run_row(run_id)]
        )

    async def tool_call(
        self, conn: Connection, *, id_: str, run_id: str, place: str, user: str, agent: str, tool: str,
        duration_ms: int,
    ) -> None:  # fmt: skip
        data = {
            "run_id": run_id, "step": place, "user": user, "agent": agent, "tool": tool,
            "cached": False, "duration_ms": duration_ms,
        }  # fmt: skip
        await self.write(conn, id_=id_, type_=TOOL_USAGE, data=data)
        await conn.execute(
            "UPDATE runs SET tool_calls = tool_calls + 1 WHERE run_id = %s", [_run_row(run_id)]
        )

    async def run_end(self, conn: Connection, row: dict[str, Any], *, outcome: str) -> None:
        """The run's own event, on the connection that ends the run: both are kept or neither.

        Its duration is what workers executed, over all attempts; time asleep or waiting is nobody's work.
        """
        data = {
            "run_id": str(row["run_id"]), "user": row["principal"], "agent": row["agent"], "outcome": outcome,
            "duration_ms": int(row["spent_s"] * 1000),
            "model_calls": row["model_calls"], "tool_calls": row["tool_calls"],
        }  # fmt: skip
        await self.write(conn, id_=f"{row['run_id']}:run", type_=RUN_USAGE, data=data)

    async def storage(self, *, component: str, size: int, bucket: int) -> None:
        """A gauge. `bucket` numbers the interval, so several workers of one replica report it once."""
        async with self._pool.connection() as conn:
            await self.write(
                conn,
                id_=f"storage:{component}:{bucket}",
                type_=STORAGE_USAGE,
                data={"component": component, "bytes": size},
            )
        self.woken()

    async def counts(self) -> dict[str, int]:
        """How many events are pending, delivered, parked."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute("SELECT state, count(*) AS n FROM usage_outbox GROUP BY state")
            found = {row["state"]: int(row["n"]) for row in await cursor.fetchall()}
        return {state: found.get(state, 0) for state in ("pending", "delivered", "parked")}


def _run_row(run_id: str) -> UUID | None:
    """None for an account that stands where a run id would: it has no row to count in."""
    try:
        return UUID(run_id)
    except ValueError:
        return None
