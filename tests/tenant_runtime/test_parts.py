"""Parts that need no server: settings, manifest, arithmetic, chunks, the gateway, redaction of logs."""

import asyncio
import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenant_runtime.agents.loading import agents_load
from tenant_runtime.engine.serial import dumps
from tenant_runtime.errors import (
    ManifestInvalid,
    SettingsInvalid,
    ToolArgumentsInvalid,
    ToolDenied,
    ToolFailed,
)
from tenant_runtime.gateway.arithmetic import arithmetic_evaluate
from tenant_runtime.gateway.gate import Gateway
from tenant_runtime.gateway.tools import TOOLS, Arguments, Tool, ToolContext
from tenant_runtime.logs import JsonFormatter
from tenant_runtime.memory.chunks import TARGET_CHARACTERS, chunks_cut
from tenant_runtime.service.listener import listener_open
from tenant_runtime.settings import PACKAGED_MANIFEST, settings_read

GOOD = {"RUNTIME_DATABASE_URL": "postgresql://u:p@h/d", "RUNTIME_API_KEY": "k" * 20}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"RUNTIME_DATABASE_URL": ""}, "RUNTIME_DATABASE_URL"),
        ({"RUNTIME_DATABASE_URL": "mysql://u:secret@h/d"}, "RUNTIME_DATABASE_URL"),
        ({"RUNTIME_API_KEY": ""}, "RUNTIME_API_KEY"),
        ({"RUNTIME_API_KEY": "short"}, "RUNTIME_API_KEY"),
        ({"RUNTIME_ADMIN_KEY": "k" * 20}, "RUNTIME_ADMIN_KEY"),
        ({"RUNTIME_API_KEY_FILE": "/nowhere", "RUNTIME_API_KEY": ""}, "RUNTIME_API_KEY_FILE"),
        ({"RUNTIME_API_KEY_FILE": "/nowhere"}, "RUNTIME_API_KEY"),
        ({"RUNTIME_TENANT": "Bad Name"}, "RUNTIME_TENANT"),
        ({"RUNTIME_USAGE_URL": "https://cp/usage"}, "RUNTIME_USAGE_TOKEN"),
        ({"RUNTIME_USAGE_TOKEN": "secret-token"}, "RUNTIME_USAGE_URL"),
        ({"RUNTIME_JWT_KEYS": '{"keys": []}'}, "RUNTIME_JWT_KEYS"),
        ({"RUNTIME_JWT_KEYS": "secret"}, "RUNTIME_JWT_KEYS"),
        ({"RUNTIME_MAX_RUNS": "many"}, "RUNTIME_MAX_RUNS"),
        ({"MODEL_BASE_URL": "http://vllm:8000/v1"}, "MODEL_NAME"),
        ({"RUNTIME_REDIS_URL": "http://h"}, "RUNTIME_REDIS_URL"),
    ],
)
def test_a_bad_setting_is_named_and_not_repeated(changes: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        settings_read(GOOD | changes)
    assert refused.value.detail.startswith(f"{name}: found")
    assert "wanted" in refused.value.detail
    assert "secret" not in refused.value.detail.replace("the secret in it", "")


def test_secrets_come_from_files_and_stay_out_of_repr(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("file-key-0123456789abc\n")
    settings = settings_read({**GOOD, "RUNTIME_API_KEY": "", "RUNTIME_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key == "file-key-0123456789abc"
    assert "file-key" not in repr(settings)
    assert "u:p@h" not in repr(settings)


def test_the_packaged_manifest_loads() -> None:
    agents = agents_load(PACKAGED_MANIFEST)
    assert [agent.entry.name for agent in agents.all()] == [
        "document_analyst",
        "mail_triager",
        "price_monitor",
    ]
    assert list(agents.triggers) == ["mail"]


def test_a_manifest_reports_everything_wrong_at_once(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')\n")
    (tmp_path / "odd.py").write_text("graph = 42\n")
    (tmp_path / "agents.toml").write_text(
        """
[[agents]]
name = "one"
target = "./broken.py:graph"
[[agents]]
name = "two"
target = "./odd.py:graph"
tools = ["calculate", "teleport"]
[[agents]]
name = "three"
target = "no.such.module:graph"
[[agents]]
name = "four"
adapter = "pydantic_ai"
target = "./odd.py:graph"
"""
    )
    with pytest.raises(ManifestInvalid) as refused:
        agents_load(tmp_path / "agents.toml")
    text = "\n".join(str(problem) for problem in refused.value.problems)
    for part in (
        "'one': RuntimeError",
        "'two': TypeError",
        "no tool 'teleport'",
        "'three': ModuleNotFoundError",
        "'four'",
    ):
        assert part in text


@pytest.mark.parametrize(
    "text",
    [
        "agents = 3",
        "[[agents]]\nname='A B'\ntarget='x:y'",
        "[[agents]]\nname='a'\ntarget='x:y'\nsurprise=1",
        "=",
        "",
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "agents.toml").write_text(text)
    with pytest.raises(ManifestInvalid):
        agents_load(tmp_path / "agents.toml")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", "7"),
        ("(1+2)*3", "9"),
        ("0.1+0.2", "0.3"),
        ("2**10", "1024"),
        ("-7//2", "-3"),
        ("7/2", "3.5"),
    ],
)
def test_arithmetic(expression: str, value: str) -> None:
    assert arithmetic_evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "1/0",
        "__import__('os')",
        "a+1",
        "(lambda: 1)()",
        "'a'*9",
        "1 if 1 else 2",
        "",
        "(" * 150,
        "True+1",
    ],
)
def test_what_is_not_arithmetic_fails_quickly(expression: str) -> None:
    with pytest.raises(ToolFailed):
        arithmetic_evaluate(expression)


@given(st.text(max_size=5000))
def test_chunks_keep_every_word_and_stay_small(text: str) -> None:
    chunks = chunks_cut(text)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert all(len(chunk.text) <= 3 * TARGET_CHARACTERS for chunk in chunks)
    if not any(line.lstrip().startswith("#") for line in text.splitlines()):
        joined = "".join("".join(chunk.text.split()) for chunk in chunks)
        assert sorted(joined) == sorted("".join(text.split()))


def test_headings_start_chunks() -> None:
    chunks = chunks_cut("# One\n\nfirst\n\n## Two\nsecond\n\nthird")
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [("One", "first"), ("Two", "second\n\nthird")]


def test_a_long_list_keeps_its_items_apart() -> None:
    items = [f"- Item {number} is about something that takes some words to say." for number in range(40)]
    chunks = chunks_cut("\n".join(items))
    assert len(chunks) > 1
    assert "\n".join(chunk.text for chunk in chunks).splitlines() == items


class Nothing(Arguments):
    pass


async def _sleep(_: Any, __: ToolContext) -> dict[str, Any]:
    await asyncio.sleep(5)
    return {}


async def _break(_: Any, __: ToolContext) -> dict[str, Any]:
    raise KeyError("a secret")


async def test_the_gateway_lets_through_only_what_is_allowed_and_valid() -> None:
    tools = {
        **TOOLS,
        "sleep": Tool("sleep", "", Nothing, _sleep, 0.05),
        "break": Tool("break", "", Nothing, _break),
    }
    gate = Gateway(tools, ["calculate", "sleep", "break"], agent="tester")
    context: Any = None
    assert [spec["function"]["name"] for spec in gate.specs()] == ["calculate", "sleep", "break"]
    assert (await gate.check("calculate", '{"expression": "1+1"}').run(context))["result"] == "2"
    for name in ("read_document", "os.system", ""):
        with pytest.raises(ToolDenied):
            gate.check(name, {})
    for arguments in ("{}", "[]", "not json", '{"expression": 1}', '{"expression": "1", "more": 2}'):
        with pytest.raises(ToolArgumentsInvalid):
            gate.check("calculate", arguments)
    with pytest.raises(ToolFailed, match="no answer within"):
        await gate.check("sleep", {}).run(context)
    with pytest.raises(ToolFailed) as failed:
        await gate.check("break", {}).run(context)
    assert "a secret" not in str(failed.value)


def test_a_log_line_names_the_place_of_an_error_and_not_its_text() -> None:
    try:
        raise ValueError("what the user wrote")
    except ValueError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert line["exception"] == "ValueError"
    assert "what the user wrote" not in json.dumps(line)


def test_the_nul_character_does_not_reach_the_database() -> None:
    assert json.loads(dumps({"a\x00": ["b\x00", "\\u0000"]})) == {"a\ufffd": ["b\ufffd", "\\u0000"]}


async def test_small_pieces_of_an_answer_leave_at_once() -> None:
    """With Nagle's algorithm each would wait for the client's delayed acknowledgement of the one before."""
    delays: asyncio.Queue[int] = asyncio.Queue()

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delays.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accepted, sock=listener_open("127.0.0.1", 0, None)) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await asyncio.wait_for(delays.get(), 5) == 1
        writer.close()
