"""The job of a pull request as CI runs it: a clone of a bare repository, the public command, one comment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.conftest import RunningFreehold
from tests.support.forge import Forge, forge_serving

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    argv = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A pull request's checkout, cloned from a bare repository."""
    bare, clone = tmp_path / "platform.git", tmp_path / "checkout"
    bare.mkdir()
    git(bare, "init", "--bare")
    git(tmp_path, "clone", str(bare), str(clone))
    (clone / "README.md").write_text("a platform\n")
    git(clone, "add", ".")
    git(clone, "commit", "-m", "a change")
    git(clone, "push", "origin", "HEAD")
    return clone


@pytest.fixture
def platform(checkout: Path) -> Path:
    """The same with the stack program in it, as a platform engineer's repository has it."""
    for room in ("contracts", "embedded", "stacks"):
        shutil.copytree(ROOT / room, checkout / room, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / ".gitignore").write_text(".venv\n.tools\nfreehold-preview\n__pycache__\n")
    for made in (".venv", ".tools"):
        (checkout / made).symlink_to(ROOT / made)
    committed(checkout, "the program as it is installed")
    return checkout


def committed(checkout: Path, message: str) -> str:
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", message)
    git(checkout, "push", "origin", "HEAD")
    return git(checkout, "rev-parse", "HEAD")


def reader(freehold: RunningFreehold) -> str:
    """A key as CI should have it: it may read, and no more."""
    body = {"name": "ci", "scopes": ["tenants:read", "operations:read"]}
    answer = freehold.call("POST", "/api-keys", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["api_key"])


def job(
    freehold: RunningFreehold,
    forge: Forge,
    checkout: Path,
    arguments: str,
    program: str = "installed",
    key: str = "",
) -> "subprocess.CompletedProcess[str]":
    event = checkout.parent / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    env = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(checkout.parent),
        "FREEHOLD_API_URL": freehold.up["api_url"].removesuffix("/api/v1"),
        "FREEHOLD_API_KEY": key or freehold.up["api_key"],
        "FREEHOLD_PREVIEW_ARGS": arguments,
        "FREEHOLD_PROGRAM": program,
        **forge.github(str(event)),
    }
    script = ROOT / "deploy" / "ci" / "preview.sh"
    return subprocess.run([str(script)], cwd=checkout, env=env, capture_output=True, text=True, timeout=240)


def test_a_pull_request_gets_one_comment_and_the_complete_plans(
    freehold: RunningFreehold, checkout: Path
) -> None:
    with forge_serving() as forge:
        first = job(freehold, forge, checkout, "--all")
        assert first.returncode == 0, first.stderr
        (comment,) = forge.comments
        assert f"at `{git(checkout, 'rev-parse', 'HEAD')[:12]}`" in comment["body"]
        assert "`acme`" in comment["body"]
        plan = json.loads((checkout / "freehold-preview" / "plans" / "acme.json").read_text())
        assert {row["op"] for row in plan["resources"]} == {"same"}
        assert plan["policy"]["denied"] is False
        assert float(plan["cost"]["monthly_after"]) > 0

        second = job(freehold, forge, checkout, "--changed")
        assert second.returncode == 0, second.stderr
        assert len(forge.comments) == 1, "edited in place"
        assert freehold.up["api_key"] not in first.stdout + first.stderr + comment["body"]


def test_a_tenant_that_is_not_there_leaves_no_comment(freehold: RunningFreehold, checkout: Path) -> None:
    with forge_serving() as forge:
        told = job(freehold, forge, checkout, "--tenant nobody")
        assert told.returncode == 6, told.stderr
        assert forge.comments == []


@pytest.mark.timeout(900)
def test_a_commits_own_program_is_planned_on_the_real_states(
    freehold: RunningFreehold, platform: Path
) -> None:
    key = reader(freehold)
    program = platform / "stacks" / "components" / "cache.py"
    as_installed = program.read_text()
    with forge_serving() as forge:

        def run(arguments: str) -> "subprocess.CompletedProcess[str]":
            return job(freehold, forge, platform, arguments, program="checkout", key=key)

        def plan() -> dict[str, str]:
            text = (platform / "freehold-preview" / "plans" / "acme.json").read_text()
            return {row["name"]: row["op"] for row in json.loads(text)["resources"] if row["op"] != "same"}

        same = run("--tenant acme")
        assert same.returncode == 0, same.stderr
        assert plan() == {}
        assert "Nothing would change for 1 tenant" in forge.comments[0]["body"]
        assert "changes of secrets are not shown" in forge.comments[0]["body"]

        program.write_text(
            as_installed.replace(
                '"credentials": site', '"persist": False,\n                "credentials": site'
            )
        )
        commit = committed(platform, "Caches forget")
        changed = run("--tenant acme")
        assert changed.returncode == 0, changed.stderr
        assert plan() == {"cache-server": "update"}
        assert f"at `{commit[:12]}`" in forge.comments[0]["body"]
        assert "! ~ local:index:RedisServer cache-server [persist]" in forge.comments[0]["body"]

        program.write_text(as_installed.replace('f"{name}-server"', 'f"{name}-store"'))
        committed(platform, "Caches are called stores")
        lost = run("--tenant acme")
        assert lost.returncode == 5, lost.stderr
        assert plan() == {"cache-server": "delete", "cache-store": "create", "runtime-process": "update"}
        assert "**Resources are replaced or deleted for 1.**" in forge.comments[0]["body"]
        assert run("--tenant acme --allow cache-server").returncode == 0

        program.write_text("not a program\n")
        committed(platform, "A slip")
        broken = run("--tenant acme")
        assert broken.returncode == 1
        assert "SyntaxError" in forge.comments[0]["body"]
        assert len(forge.comments) == 1, "edited in place"
