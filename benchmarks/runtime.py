"""A tenant's runtime through the langgraph-sdk client: runs, streams, and how soon usage can be seen."""

import asyncio
import time
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.private import BenchmarkError, answer, freehold_shared
from benchmarks.progress import say

AGENT = "document_analyst"
SERIAL = 30
AT_ONCE = 10
ROUNDS = 3
STREAMS = 20
VISIBLE = 10
_POLL_S = 0.01
_VISIBLE_DEADLINE_S = 30.0
QUESTIONS = (
    "What happens to an operation when the worker that runs it dies?",
    "How is a tenant deleted?",
    "Where does usage stay when the control plane is down?",
    "Which keys reach the admin paths of a runtime?",
    "What is short-term memory, and where does it live?",
)


def run() -> Result:
    freehold = freehold_shared()
    tenant = freehold.up["tenant"]
    with freehold.client() as api:
        figures = asyncio.run(_measure(tenant, api))
    facts = {
        "agent": AGENT,
        "model": "offline-rules-1 in the runtime's own process: no language model, no network",
        "runtime": "plan starter, one worker; stateless runs",
    }
    return Result(name="runtime", figures=figures, facts=facts)


async def _measure(tenant: dict[str, Any], api: httpx.Client) -> list[Figure]:
    client = get_client(url=tenant["runtime_url"], api_key=tenant["runtime_api_key"])
    for number in range(3):
        await _wait(client, number)
    say(f"{SERIAL} runs one after another")
    serial = [await _wait(client, number) for number in range(SERIAL)]
    say(f"{ROUNDS} times {AT_ONCE} runs at once")
    rates = [await _at_once(client) for _ in range(ROUNDS)]
    say(f"{STREAMS} streams")
    streams = [await _stream(client, number) for number in range(STREAMS)]
    say(f"usage of {VISIBLE} runs")
    visible = [await _visible(client, api, tenant["slug"], number) for number in range(VISIBLE)]
    return [
        spread("runs.wait, one after another", "ms", serial),
        single(
            f"runs.wait, {AT_ONCE} at once, median of {ROUNDS} rounds",
            "runs/s",
            sorted(rates)[ROUNDS // 2],
            n=AT_ONCE * ROUNDS,
        ),
        spread("runs.stream, request to first event (metadata)", "ms", [first for first, _ in streams]),
        spread("runs.stream, request to first update of the agent", "ms", [update for _, update in streams]),
        spread("end of a run to its usage in the usage query", "ms", visible),
    ]


def _input(number: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]}


async def _wait(client: LangGraphClient, number: int) -> float:
    """Milliseconds from the request to the agent's answer."""
    started = time.perf_counter()
    values = await client.runs.wait(None, AGENT, input=_input(number))
    duration = (time.perf_counter() - started) * 1000
    if not isinstance(values, dict) or not values.get("messages"):
        raise BenchmarkError(f"the run gave no answer: {str(values)[:300]}")
    return duration


async def _at_once(client: LangGraphClient) -> float:
    """Runs a second."""
    started = time.perf_counter()
    await asyncio.gather(*(_wait(client, number) for number in range(AT_ONCE)))
    return AT_ONCE / (time.perf_counter() - started)


async def _stream(client: LangGraphClient, number: int) -> tuple[float, float]:
    """Milliseconds to the first event and to the first update; the stream is read to its end."""
    started = time.perf_counter()
    first: dict[str, float] = {}
    async for part in client.runs.stream(None, AGENT, input=_input(number), stream_mode="updates"):
        elapsed = (time.perf_counter() - started) * 1000
        first.setdefault("any", elapsed)
        first.setdefault(part.event, elapsed)
    if "updates" not in first:
        raise BenchmarkError(f"the stream held no update, only {sorted(first)}")
    return first["any"], first["updates"]


async def _visible(client: LangGraphClient, api: httpx.Client, slug: str, number: int) -> float:
    """Milliseconds from the answer in the client's hands until the month's count of runs has grown by it."""
    before = _runs_counted(api, slug)
    await _wait(client, number)
    ended = time.perf_counter()
    while _runs_counted(api, slug) != before + 1:
        if time.perf_counter() - ended > _VISIBLE_DEADLINE_S:
            raise BenchmarkError(f"the run's usage was not seen within {_VISIBLE_DEADLINE_S:.0f} s")
        await asyncio.sleep(_POLL_S)
    return (time.perf_counter() - ended) * 1000


def _runs_counted(api: httpx.Client, slug: str) -> int:
    found = answer(api.get(f"/tenants/{slug}/usage", params={"meter": "agent_runs", "window": "month"}))
    return sum(int(float(row["value"])) for row in found["results"])
