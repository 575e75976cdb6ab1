"""The official MCP client against a live runtime, in the protocol's both eras; hosts, origins and owners."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from tenant_runtime.doors.mcp.origins import host_allowed, origin_allowed
from tests.tenant_runtime.access.signing import token_sign
from tests.tenant_runtime.support import API_KEY, RuntimeProcess, wait_until

ERAS = ["auto", "legacy"]
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@asynccontextmanager
async def connected(
    runtime: RuntimeProcess, *, key: str = API_KEY, era: str = "auto"
) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers={"x-api-key": key}, timeout=30) as http:
        transport = streamable_http_client(f"{runtime.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:  # type: ignore[arg-type] # any of ConnectMode
            yield client


def told(result: CallToolResult) -> dict[str, Any]:
    assert result.structured_content is not None
    assert result.content[0].text == result.structured_content["text"]  # type: ignore[union-attr]
    return result.structured_content


@pytest.mark.parametrize("era", ERAS)
async def test_agents_are_tools(runtime: RuntimeProcess, era: str) -> None:
    async with connected(runtime, era=era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"document_analyst", "slow", "asking"} <= set(tools)
        assert "message" in tools["slow"].input_schema["properties"]
        done = told(
            await client.call_tool("document_analyst", {"message": "How long are nightly backups kept?"})
        )
        assert "35 days" in done["text"]
        assert done["status"] == "completed"
        more = told(
            await client.call_tool(
                "document_analyst", {"message": "And monthly backups?", "thread_id": done["thread_id"]}
            )
        )
        assert "seven years" in more["text"]
        assert more["thread_id"] == done["thread_id"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_question_is_answered_by_the_next_call(runtime: RuntimeProcess, era: str) -> None:
    async with connected(runtime, era=era) as client:
        asked = told(await client.call_tool("asking", {"message": "please"}))
        assert (asked["status"], asked["text"]) == ("input_required", "may I?")
        done = told(await client.call_tool("asking", {"message": "yes", "thread_id": asked["thread_id"]}))
        assert (done["status"], done["text"]) == ("completed", "they said yes")


async def test_what_goes_wrong_is_said(runtime: RuntimeProcess) -> None:
    async with connected(runtime) as client:
        failed = await client.call_tool("failing", {"message": "x"})
        assert failed.is_error
        assert "the reason" in told(failed)["text"]
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool("nobody", {"message": "x"})
        with pytest.raises(MCPError, match="thread_id"):
            await client.call_tool("slow", {"message": "x", "thread_id": "not-a-uuid"})
        missing = await client.call_tool("slow", {"message": "x", "thread_id": str(uuid.uuid4())})
        assert missing.is_error
        assert "thread_not_found" in missing.content[0].text  # type: ignore[union-attr]


async def test_progress_is_told_to_who_asks(runtime: RuntimeProcess) -> None:
    heard: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with connected(runtime) as client:
        await client.call_tool("slow", {"message": "go"}, progress_callback=progress)
    assert heard == ["done after 3"]


@pytest.mark.parametrize("era", ERAS)
async def test_two_clients_interleaved_keep_apart(runtime: RuntimeProcess, era: str) -> None:
    """Both are connected the whole time, and each answer comes from the caller's own thread, under its own name."""
    names = [f"{name}-{uuid.uuid4().hex[:8]}" for name in ("ada", "bob")]
    async with (
        connected(runtime, key=token_sign(names[0]), era=era) as ada,
        connected(runtime, key=token_sign(names[1]), era=era) as bob,
    ):
        asked = [told(await client.call_tool("asking", {"message": "please"})) for client in (ada, bob)]
        foreign = await bob.call_tool("asking", {"message": "mine", "thread_id": asked[0]["thread_id"]})
        assert foreign.is_error
        assert "thread_not_found" in foreign.content[0].text  # type: ignore[union-attr]
        answers = await asyncio.gather(
            *(
                client.call_tool("asking", {"message": name, "thread_id": mine["thread_id"]})
                for client, name, mine in zip((ada, bob), names, asked, strict=True)
            )
        )
        assert [told(answer)["text"] for answer in answers] == [f"they said {name}" for name in names]
        calls = [
            client.call_tool("slow", {"message": f"{name} {n}"})
            for n in range(5)
            for client, name in zip((ada, bob), names, strict=True)
        ]
        threads = [told(result)["thread_id"] for result in await asyncio.gather(*calls)]
        assert len(set(threads)) == len(threads)
    with runtime.http() as http:
        for n, thread in enumerate(threads):
            first = http.get(f"/threads/{thread}/state").json()["values"]["messages"][0]["content"]
            assert first == f"{names[n % 2]} {n // 2}"
    with runtime.http(token_sign(names[0])) as http:
        seen = [http.get(f"/threads/{thread}").status_code for thread in threads]
    assert seen == [200, 404] * 5


async def test_a_caller_that_leaves_ends_its_run(runtime: RuntimeProcess) -> None:
    key = token_sign(f"leaver-{uuid.uuid4().hex[:8]}")

    async def call() -> None:
        async with connected(runtime, key=key) as client:
            await client.call_tool("impatient", {"message": "x"})

    calling = asyncio.create_task(call())
    with runtime.http(key) as http:
        await asyncio.to_thread(
            wait_until,
            lambda: http.post("/threads/count", json={"status": "busy"}).json() == 1,
            20,
            "the run",
        )
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await asyncio.to_thread(
            wait_until,
            lambda: http.post("/threads/count", json={"status": "busy"}).json() == 0,
            20,
            "its end",
        )


def test_hosts_and_origins_are_checked(runtime: RuntimeProcess) -> None:
    headers = {"x-api-key": API_KEY, "Accept": "application/json, text/event-stream"}
    with httpx.Client(base_url=runtime.url, headers=headers, timeout=30) as http:
        own = str(http.base_url).removeprefix("http://").rstrip("/")
        for more, status in (
            ({}, 200),
            ({"Origin": f"http://{own}"}, 200),
            ({"Host": "evil.example"}, 421),
            ({"Host": "evil.example:8123", "Origin": "http://evil.example:8123"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
        ):
            answer = http.post("/mcp", json=CALL, headers=more)
            assert answer.status_code == status, (more, answer.text)
        assert http.get("/mcp").status_code == 405
    for headers in ({}, {"Authorization": "Bearer nobody"}):
        assert httpx.post(f"{runtime.url}/mcp", json=CALL, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8123", True),
        ("[::1]:8123", True),
        ("localhost", True),
        ("runtime:80", True),
        ("runtime.tenant-acme.svc.cluster.local", True),
        ("acme.agents.example", True),
        ("ACME.agents.example:443", True),
        ("evil.example", False),
        ("acme.agents.example.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("user@acme.agents.example", False),
        ("", False),
        ("[::1", False),
        ("acme.agents.example/@evil", False),
    ],
)
def test_which_hosts_are_ours(host: str, allowed: bool) -> None:
    assert host_allowed(host, "https://acme.agents.example") is allowed


def test_which_pages_may_call() -> None:
    public = "https://acme.agents.example"
    assert origin_allowed(public, "10.0.0.7", public)
    assert origin_allowed("http://127.0.0.1:8123", "127.0.0.1:8123", None)
    assert not origin_allowed("http://127.0.0.1:9999", "127.0.0.1:8123", None)
    assert not origin_allowed("file://127.0.0.1:8123", "127.0.0.1:8123", None)
    assert not origin_allowed("https://acme.agents.example.evil.example", "10.0.0.7", public)
