"""`/live`, `/ready`, `/info`, `/metrics`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse

from tenant_runtime import __version__
from tenant_runtime.errors import Unavailable
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import InRuntime

router = APIRouter()
_CHECK_S = 3.0


@router.get("/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}


async def _check(probe: Callable[[], Awaitable[str]]) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(_CHECK_S):
            detail = await probe()
        ok = True
    except Unavailable as fault:
        # Our own sentence about a part, which names no user's data.
        detail, ok = fault.detail, False
    except TimeoutError:
        detail, ok = f"no answer within {_CHECK_S:g} s", False
    except Exception as error:
        # Anyone may ask for readiness: the kind of failure is told, its text is not.
        detail, ok = type(error).__name__, False
    return {"ok": ok, "detail": detail, "duration_ms": int((time.monotonic() - begun) * 1000)}


async def readiness(runtime: Runtime) -> dict[str, Any]:
    """Each part's check. Redis is optional: without it the runtime is degraded, and ready."""

    async def database() -> str:
        async with runtime.pool.connection(timeout=2) as conn:
            await conn.execute("SELECT 1")
        if not runtime.bus.alive:
            raise ConnectionError
        return "postgres answers"

    async def redis() -> str:
        if not await runtime.short_term.ping():
            raise ConnectionError
        return "redis answers"

    async def model() -> str:
        names = await runtime.model.ping()
        return f"{runtime.model.model}{'' if runtime.model.model in names else ' (not listed)'}"

    probes = {"database": database, "vector_store": runtime.long_term.health, "model": model}
    if runtime.short_term.configured:
        probes["redis"] = redis
    results = await asyncio.gather(*(_check(probe) for probe in probes.values()))
    checks = dict(zip(probes, results, strict=True))
    needed = all(check["ok"] for name, check in checks.items() if name != "redis")
    every = all(check["ok"] for check in checks.values())
    return {"status": "ready" if every else "degraded" if needed else "unready", "checks": checks}


@router.get("/ready")
async def ready(runtime: InRuntime) -> JSONResponse:
    report = await readiness(runtime)
    return JSONResponse(report, 503 if report["status"] == "unready" else 200)


@router.get("/info")
async def info(runtime: InRuntime) -> dict[str, Any]:
    agents = [
        {
            "name": agent.entry.name, "assistant_id": agent.assistant_id, "version": agent.entry.version,
            "adapter": agent.entry.adapter, "description": agent.entry.description, "tools": agent.entry.tools,
            "model": agent.entry.model or runtime.model.model, "limits": agent.entry.limits.model_dump(),
        }
        for agent in runtime.agents.all()
    ]  # fmt: skip
    paused = await runtime.pause.current()
    return {
        "version": __version__,
        "paused": None if paused is None else {"reason": paused.reason, "since": paused.since.isoformat()},
        "tenant": runtime.settings.tenant,
        "replica": runtime.settings.replica,
        "agents": agents,
        "models": {
            "chat": runtime.model.model,
            "embedding": runtime.model.embedding_model,
            "offline": runtime.model.offline,
        },
        "reload": None
        if runtime.reloader is None or runtime.reloader.last is None
        else runtime.reloader.last.data(),
        "usage_outbox": {**await runtime.outbox.counts(), "last_error": runtime.pusher.last_error},
    }


@router.get("/metrics")
async def metrics(runtime: InRuntime) -> PlainTextResponse:
    """Prometheus text. Totals come from the database, so they survive restarts and agree between replicas."""
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT agent, status, count(*) AS n, sum(model_calls) AS m, sum(tool_calls) AS t, "
            "coalesce(sum(spent_s), 0) AS s FROM runs GROUP BY agent, status"
        )
        rows = await cursor.fetchall()
    outbox = await runtime.outbox.counts()
    lines = ["# TYPE freehold_runtime_runs gauge"]
    for row in rows:
        labels = f'agent="{row["agent"]}",status="{row["status"]}"'
        lines.append(f"freehold_runtime_runs{{{labels}}} {row['n']}")
    for name, column in (("model_calls", "m"), ("tool_calls", "t"), ("run_seconds", "s")):
        lines.append(f"# TYPE freehold_runtime_{name} gauge")
        for row in rows:
            labels = f'agent="{row["agent"]}",status="{row["status"]}"'
            lines.append(f"freehold_runtime_{name}{{{labels}}} {row[column]}")
    lines.append("# TYPE freehold_runtime_queued_runs gauge")
    lines.append(f"freehold_runtime_queued_runs {await runtime.leases.queued()}")
    lines.append("# TYPE freehold_runtime_executing gauge")
    lines.append(f"freehold_runtime_executing {runtime.executor.running}")
    lines.append("# TYPE freehold_runtime_usage_events gauge")
    lines.extend(f'freehold_runtime_usage_events{{state="{state}"}} {n}' for state, n in outbox.items())
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
