"""The report of a manifest: everything wrong at once, state schemas against the database, and hot reload."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenant_runtime.agents.loading import manifest_examine
from tenant_runtime.agents.schemas import difference, fingerprint, type_describe
from tests.tenant_runtime.support import (
    API_KEY,
    RuntimeProcess,
    runtime_environment,
    runtime_started,
    wait_until,
)

AGENT = """
import asyncio
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict
{more}
class State(TypedDict, total=False):
    {fields}
    delay: float

async def run(state):
    await asyncio.sleep(state.get("delay", 0))
    return {{"said": {says}}}

graph = StateGraph(State)
graph.add_node("run", run)
graph.add_edge(START, "run")
graph.add_edge("run", END)
"""
MANIFEST = '[[agents]]\nname = "speaker"\ntarget = "./speaker.py:graph"\nversion = "{version}"\n'


def write(
    folder: Path, *, fields: str = "said: str", says: str = '"one"', version: str = "1", more: str = ""
) -> Path:
    (folder / "speaker.py").write_text(AGENT.format(fields=fields, says=says, more=more))
    (folder / "agents.toml").write_text(MANIFEST.format(version=version))
    return folder / "agents.toml"


def check(manifest: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenant_runtime", "check", "--manifest", str(manifest), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


# --- the report -------------------------------------------------------------------------------------------
def test_every_problem_has_a_code_a_place_and_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('bye')\n")
    (tmp_path / "odd.py").write_text("graph = 42\n\nasync def two(a, b):\n    return a\n")
    (tmp_path / "ai.py").write_text(
        "from pydantic_ai import Agent\nagent = Agent()\n\n@agent.tool_plain\nasync def secret_door() -> str:\n"
        "    return 'open'\n\nother = Agent(deps_type=int)\n"
    )
    (tmp_path / "agents.toml").write_text(
        """
[[tools]]
name = "calculate"
target = "tenant_runtime.gateway.tools:TOOLS"
[[tools]]
name = "gone"
target = "./nowhere.py:tool"
[[agents]]
name = "exits"
target = "./broken.py:graph"
tools = ["teleport"]
[[agents]]
name = "number"
target = "./odd.py:graph"
[[agents]]
name = "greedy"
adapter = "callable"
target = "./odd.py:two"
[[agents]]
name = "ungranted"
adapter = "pydantic_ai"
target = "./ai.py:agent"
[[agents]]
name = "typed"
adapter = "pydantic_ai"
target = "./ai.py:other"
[[agents]]
name = "mixed"
adapter = "pydantic_ai"
target = "./odd.py:graph"
"""
    )
    report, _ = manifest_examine(tmp_path / "agents.toml")
    found = {(problem.place, problem.code) for problem in report.problems}
    assert found == {
        ("tool 'calculate'", "tool_misfit"),
        ("tool 'gone'", "import_failed"),
        ("agent 'exits'", "import_failed"),
        ("agent 'exits'", "tool_missing"),
        ("agent 'number'", "adapter_misfit"),
        ("agent 'greedy'", "adapter_misfit"),
        ("agent 'ungranted'", "tool_missing"),
        ("agent 'typed'", "adapter_misfit"),
        ("agent 'mixed'", "adapter_misfit"),
    }
    assert all(problem.todo for problem in report.problems)
    assert "secret_door" in report.text()
    assert report.agents == ()


def test_check_prints_the_report_and_its_exit_code_tells(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    good = check(manifest)
    assert good.returncode == 0, good.stderr
    assert "good (agents speaker)" in good.stdout
    (tmp_path / "speaker.py").write_text("import no_such_thing\n")
    bad = check(manifest, "--json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert (told["ok"], told["problems"][0]["code"]) == (False, "import_failed")
    assert "no_such_thing" in told["problems"][0]["detail"]


# --- state schemas ----------------------------------------------------------------------------------------
def test_a_schema_is_described_by_own_fields_and_libraries_by_name() -> None:
    from langchain_core.messages import AnyMessage
    from pydantic import BaseModel

    class Inner(BaseModel):
        price: int | None

    assert type_describe(list[AnyMessage]) == ["list", "langchain_core"]
    assert type_describe(dict[str, Inner]) == [
        "dict",
        "str",
        {"Inner": {"price": ["union", "NoneType", "int"]}},
    ]
    before: dict[str, Any] = {"a": {"type": "int"}, "b": {"type": "str"}}
    after: dict[str, Any] = {"a": {"type": "str"}, "c": {"type": "str"}}
    assert difference(before, after) == "added c; removed b; changed a"
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1})


def test_a_changed_state_under_an_old_version_is_not_served(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    database = new_database()
    environment = runtime_environment(database)
    manifest = write(tmp_path)
    with runtime_started(tmp_path, environment, manifest=manifest, until="/live"):
        pass
    write(tmp_path, fields="said: list[str]")
    refused = subprocess.run(
        [sys.executable, "-m", "tenant_runtime", "serve", "--port", "1", "--manifest", str(manifest)],
        env=environment | {"RUNTIME_REPLICA": "r1"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2
    told = check(manifest, "--json", RUNTIME_DATABASE_URL=database, RUNTIME_API_KEY=API_KEY)
    (problem,) = json.loads(told.stdout)["problems"]
    assert told.returncode == 1
    assert (problem["code"], problem["place"]) == ("schema_changed", "agent 'speaker'")
    assert "changed said" in problem["detail"]
    assert "`version`" in problem["todo"]
    write(tmp_path, fields="said: list[str]", version="2")
    assert check(manifest, RUNTIME_DATABASE_URL=database, RUNTIME_API_KEY=API_KEY).returncode == 0


# --- hot reload -------------------------------------------------------------------------------------------
def _reload_report(runtime: RuntimeProcess) -> Any:
    with runtime.http() as http:
        return http.get("/info").json()["reload"]


async def _said(runtime: RuntimeProcess, **more: Any) -> Any:
    values = await runtime.sdk().runs.wait(None, "speaker", input={"delay": 0.0, **more})
    assert isinstance(values, dict)
    return values["said"]


async def test_an_edit_is_served_and_a_broken_one_is_not(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    manifest = write(folder)
    with runtime_started(
        tmp_path, runtime_environment(new_database()), manifest=manifest, arguments=("--reload",)
    ) as runtime:
        assert await _said(runtime) == "one"
        going_on = asyncio.create_task(_said(runtime, delay=4.0))
        await asyncio.sleep(0.5)
        write(folder, says='"two"')
        wait_until(lambda: (_reload_report(runtime) or {}).get("ok"), 10, "the reload")
        assert await _said(runtime) == "two"
        # What ran while the file changed ends as it began.
        assert await going_on == "one"
        write(folder, says="undefined_name", more="import no_such_thing")
        wait_until(lambda: not _reload_report(runtime)["ok"], 10, "the refusal")
        (problem,) = _reload_report(runtime)["problems"]
        assert "no_such_thing" in problem["detail"]
        assert await _said(runtime) == "two"
        write(folder, says='"three"', fields="said: str\n    other: int")
        wait_until(lambda: _reload_report(runtime)["problems"][0]["code"] == "schema_changed", 10, "the word")
        assert await _said(runtime) == "two"
        write(folder, says='"three"', fields="said: str\n    other: int", version="2")
        wait_until(lambda: _reload_report(runtime)["ok"], 10, "the repair")
        assert await _said(runtime) == "three"
        assert "no_such_thing" in runtime.log.read_text()
