"""The job of a pull request as CI runs it: a clone of a bare repository, the public command, one comment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.conftest import RunningFreehold
from tests.support.forge import Forge, forge_serving

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]
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
