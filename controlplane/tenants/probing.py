"""Looking at tenants' components from the control plane: logins by the real protocols, all at once, each bounded.

Everything runs on one event loop, so that a hundred components that hang cost one timeout and no thread. A look that
the sweep's deadline cut off is `unknown`: the lack of time was ours.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import psycopg
import redis.asyncio
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError

from controlplane.tenants import states
from controlplane.tenants.looks import (
    GPU,
    MODEL,
    POSTGRES,
    REDIS,
    RUNTIME,
    STORES,
    VECTOR_STORE,
    Look,
    looks_combine,
    ready_looks,
)

#: Seconds for one look. A server that takes longer to answer a login serves nobody well.
LOOK_TIMEOUT_S = 3.0
#: Seconds for a whole sweep; below the interval of the sweeps.
SWEEP_DEADLINE_S = 20.0
#: Looks at once: bounded by file descriptors, not by threads.
AT_ONCE = 128

#: Part of the server's message -> what it means to an operator.
_POSTGRES_WORDS = (
    ("password authentication failed", "refuses our login"),
    ("too many clients", "has no free connection"),
    ("remaining connection slots", "has no free connection"),
    ("starting up", "is starting up"),
    ("shutting down", "is shutting down"),
    ("recovery mode", "is recovering"),
    ("does not exist", "lacks its database or role"),
    ("onnection refused", "nothing listens on its port"),
)


@dataclass(frozen=True)
class Endpoints:
    """Where a tenant's components answer. URLs hold passwords: never shown, logged or compared in the open."""

    tenant_id: UUID
    runtime_url: str
    postgres_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    vector_url: str = field(default="", repr=False)
    gpus: tuple[str, ...] = ()
    #: The addresses of the stores are stored, but no key opens them.
    sealed: bool = False
    #: Was bad when last looked at: looked at after the others, so that it delays none.
    suspect: bool = False
    #: Only the tenant's own network reaches the stores: what is known of them is the runtime's word.
    private: bool = False


def looks_take(
    tenants: Sequence[Endpoints], *, deadline_s: float = SWEEP_DEADLINE_S, timeout_s: float = LOOK_TIMEOUT_S
) -> dict[UUID, list[Look]]:
    """One look at every component of every tenant given; never raises, and ends by the deadline."""
    return asyncio.run(_sweep(tenants, deadline_s, timeout_s))


async def _sweep(tenants: Sequence[Endpoints], deadline_s: float, timeout_s: float) -> dict[UUID, list[Look]]:
    slots = asyncio.Semaphore(AT_ONCE)
    present = await _gpus_present() if any(each.gpus and not each.private for each in tenants) else None
    async with httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False) as client:
        ordered = sorted(tenants, key=lambda each: each.suspect)
        tasks = {
            each.tenant_id: {
                name: asyncio.create_task(_slotted(slots, look))
                for name, look in _looks_of(each, client, timeout_s).items()
            }
            for each in ordered
        }
        pending = [task for looks in tasks.values() for task in looks.values()]
        if pending:
            _, late = await asyncio.wait(pending, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        return {each.tenant_id: _combined(each, tasks[each.tenant_id], present) for each in tenants}


def _looks_of(
    each: Endpoints, client: httpx.AsyncClient, timeout_s: float
) -> dict[str, Callable[[], Awaitable[list[Look]]]]:
    looks: dict[str, Callable[[], Awaitable[list[Look]]]] = {}
    if each.runtime_url:
        looks[RUNTIME] = lambda: _runtime(client, each.runtime_url, timeout_s)
    if each.postgres_url:
        looks[POSTGRES] = lambda: _bounded(POSTGRES, lambda: _postgres(each.postgres_url), timeout_s)
    if each.vector_url:
        looks[VECTOR_STORE] = lambda: _bounded(VECTOR_STORE, lambda: _vectors(each.vector_url), timeout_s)
    if each.redis_url:
        looks[REDIS] = lambda: _bounded(REDIS, lambda: _redis(each.redis_url), timeout_s)
    return looks


async def _slotted(slots: asyncio.Semaphore, look: Callable[[], Awaitable[list[Look]]]) -> list[Look]:
    async with slots:
        return await look()


def _combined(
    each: Endpoints, tasks: dict[str, "asyncio.Task[list[Look]]"], present: frozenset[str] | None
) -> list[Look]:
    ours: list[Look] = []
    said: list[Look] = []
    for name, task in tasks.items():
        if task.cancelled():
            ours.append(Look(name, states.UNKNOWN, "the sweep had no time left for it"))
        elif (error := task.exception()) is not None:
            # A fault of this code, not of the component.
            ours.append(Look(name, states.UNKNOWN, f"the look failed ({type(error).__name__})"))
        else:
            first, *others = task.result()
            ours.append(first)
            said += others
    if each.runtime_url and not any(look.component == MODEL for look in said):
        ours.append(Look(MODEL, states.UNKNOWN, "only the runtime can look at it, and it does not say"))
    if each.sealed:
        ours += [Look(name, states.UNKNOWN, "its address cannot be read") for name in STORES]
    if each.private:
        ours += [Look(name, states.UNKNOWN, "only the runtime reaches it") for name in STORES]
    elif each.gpus:
        ours.append(_gpu(each.gpus, present))
    return looks_combine(ours, said)


async def _bounded(component: str, look: Callable[[], Awaitable[Look]], timeout_s: float) -> list[Look]:
    """The look with its latency; no answer in time is the component's failure."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            done = await look()
    except TimeoutError:
        return [Look(component, states.UNHEALTHY, f"no answer within {timeout_s:g} s")]
    if done.health == states.UNHEALTHY:
        return [done]
    return [Look(component, done.health, done.detail, int((time.monotonic() - begun) * 1000))]


async def _runtime(client: httpx.AsyncClient, url: str, timeout_s: float) -> list[Look]:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.get(f"{url.rstrip('/')}/ready")
        latency = int((time.monotonic() - begun) * 1000)
        return ready_looks(response.status_code, response.json(), latency_ms=latency)
    except httpx.ConnectError:
        return [Look(RUNTIME, states.UNHEALTHY, "nothing listens on its port")]
    except (TimeoutError, httpx.TimeoutException):
        return [Look(RUNTIME, states.UNHEALTHY, f"no answer within {timeout_s:g} s")]
    except (httpx.HTTPError, ValueError) as error:
        return [Look(RUNTIME, states.UNHEALTHY, f"no sensible answer ({type(error).__name__})")]


async def _postgres(url: str) -> Look:
    return await _asked(POSTGRES, url, "SELECT current_setting('transaction_read_only')", "on")


async def _vectors(url: str) -> Look:
    # A distance is computed, so that a store without its extension does not pass for one.
    return await _asked(VECTOR_STORE, url, "SELECT ('[1,2]'::vector <-> '[1,3]'::vector)::text", None)


async def _asked(component: str, url: str, query: str, degraded_at: str | None) -> Look:
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode())
            row = await cursor.fetchone()
    except psycopg.errors.UndefinedObject:
        return Look(component, states.UNHEALTHY, "the extension vector is missing")
    except psycopg.Error as error:
        return Look(component, states.UNHEALTHY, _postgres_words(error))
    if row is not None and row[0] == degraded_at:
        return Look(component, states.DEGRADED, "accepts reads only")
    return Look(component, states.HEALTHY, "accepts logins")


def _postgres_words(error: psycopg.Error) -> str:
    """The server's text may quote what was sent, so that only what it means is told."""
    text = str(error)
    return next((words for part, words in _POSTGRES_WORDS if part in text), f"fails ({type(error).__name__})")


async def _redis(url: str) -> Look:
    client = redis.asyncio.Redis.from_url(url)
    try:
        await client.ping()
    except AuthenticationError:
        return Look(REDIS, states.UNHEALTHY, "refuses our login")
    except BusyLoadingError:
        return Look(REDIS, states.DEGRADED, "is loading its data")
    except (RedisError, OSError) as error:
        refused = "refused" in str(error) or "Connect call failed" in str(error)
        return Look(
            REDIS,
            states.UNHEALTHY,
            "nothing listens on its port" if refused else f"fails ({type(error).__name__})",
        )
    finally:
        await client.aclose()
    return Look(REDIS, states.HEALTHY, "answers PING")


async def _gpus_present() -> frozenset[str] | None:
    """The UUIDs of this machine's GPUs as the driver names them; None when it could not be asked in time."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return frozenset()
    process = await asyncio.create_subprocess_exec(
        program,
        "--query-gpu=uuid",
        "--format=csv,noheader",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return frozenset(out.decode(errors="replace").split()) if process.returncode == 0 else frozenset()


def _gpu(assigned: Iterable[str], present: frozenset[str] | None) -> Look:
    if present is None:
        return Look(GPU, states.UNKNOWN, "the driver did not answer in time")
    missing = sorted(set(assigned) - present)
    if missing:
        return Look(GPU, states.UNHEALTHY, f"the driver does not list {', '.join(missing)}")
    return Look(GPU, states.HEALTHY, "listed by the driver")
