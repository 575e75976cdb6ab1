"""A stack planned by the checkout's own program on an exported state, by the real CLI, without any secret."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.export import PLACEHOLDER, StackExport, state_blinded
from contracts.stack import CacheSize, PostgresSize, StackSpec
from tests.stacks.engine import REPOSITORY, STANDIN, Engine

pytestmark = pytest.mark.engine


def exported(engine: Engine, spec: StackSpec) -> StackExport:
    state = engine.stack(spec).workspace.export_stack(spec.qualified_stack_name)
    deployment = state_blinded(state.deployment)
    return StackExport(spec=spec, secrets=["usage_token", "runtime_admin_key"], deployment=deployment)


def planned(export: StackExport, checkout: Path = REPOSITORY, **environment: str) -> dict[str, Any]:
    done = run(export.model_dump_json(), checkout, **environment)
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def run(document: str, checkout: Path = REPOSITORY, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {
        "PATH": os.environ["PATH"],
        "FREEHOLD_PULUMI": str(REPOSITORY / ".tools"),
        "FREEHOLD_RUNTIME_MODULE": STANDIN,
        **environment,
    }
    argv = [sys.executable, "-m", "stacks.preview"]
    return subprocess.run(
        argv, cwd=checkout, env=env, input=document, capture_output=True, text=True, timeout=120
    )


def ops(plan: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["op"] for row in plan["resources"] if row["op"] != "same"}


def test_a_stack_is_planned_by_its_export(engine: Engine) -> None:
    spec = engine.spec("acme")
    stack = engine.stack(spec)
    stack.up()
    try:
        export = exported(engine, spec)
        text = export.model_dump_json()
        assert PLACEHOLDER in text
        for secret in engine.secrets("acme").model_dump().values():
            assert secret is None or secret not in text
        before = stack.workspace.export_stack(spec.qualified_stack_name)

        unchanged = planned(export)
        assert ops(unchanged) == {}
        assert {row["op"] for row in unchanged["resources"]} == {"same"}
        assert unchanged["policy"]["denied"] is False
        assert float(unchanged["cost"]["monthly_after"]) > 0

        bigger = spec.model_copy(update={"cache": CacheSize(max_memory_mb=128)})
        told = planned(export.model_copy(update={"spec": bigger}))
        assert ops(told) == {"cache-server": "update"}
        (row,) = [row for row in told["resources"] if row["name"] == "cache-server"]
        assert [diff["path"] for diff in row["diffs"]] == ["max_memory_mb"]
        assert float(told["cost"]["monthly_after"]) > float(told["cost"]["monthly_before"])

        after = stack.workspace.export_stack(spec.qualified_stack_name)
        assert after.deployment == before.deployment, "the real state was not touched"
    finally:
        stack.destroy()


def test_a_new_tenant_is_all_creates(engine: Engine) -> None:
    export = StackExport(
        spec=engine.spec("acme"), secrets=["usage_token", "runtime_admin_key"], deployment=None
    )
    assert set(ops(planned(export)).values()) == {"create"}


def test_rules_and_prices_of_the_operator_judge_it(engine: Engine, tmp_path: Path) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text(
        "from stacks.policy.model import Violation, rule\n\n\n"
        '@rule("small-databases", "deny")\n'
        "def small(plan):\n"
        '    """Databases are small."""\n'
        '    for each in plan.wanted("local:index:PostgresServer"):\n'
        '        if each.after["max_connections"] > 60:\n'
        '            yield Violation(each, "too many connections")\n'
    )
    spec = engine.spec("acme", postgres=PostgresSize(max_connections=90))
    export = StackExport(spec=spec, secrets=["usage_token", "runtime_admin_key"], deployment=None)
    plan = planned(export, FREEHOLD_POLICY_FILES=str(rules))
    assert plan["policy"]["denied"] is True
    assert [(each["rule"], each["name"]) for each in plan["policy"]["findings"]] == [
        ("small-databases", "postgres-server")
    ]


def test_a_program_that_fails_is_told_in_a_sentence(engine: Engine) -> None:
    spec = engine.spec("acme").model_copy(update={"target": "moon"})
    done = run(StackExport(spec=spec, secrets=[], deployment=None).model_dump_json())
    assert (done.returncode, done.stdout) == (1, "")
    assert "no target is called 'moon'" in done.stderr


def test_an_export_with_a_secret_in_it_is_not_taken(engine: Engine) -> None:
    marked = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": '"hunter2-77"',
    }
    document = {
        "spec": engine.spec("acme").model_dump(mode="json"),
        "secrets": [],
        "deployment": {"resources": [{"urn": "u", "type": "t", "outputs": {"password": marked}}]},
    }
    done = run(json.dumps(document))
    assert done.returncode == 1
    assert "not blinded" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
