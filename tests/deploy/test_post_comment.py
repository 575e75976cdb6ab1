"""The job that posts the preview's comment: one comment, edited in place, whatever the service does meanwhile."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controlplane.cli.previews import comment as product
from deploy.ci import post_comment
from tests.support.forge import Forge, forge_serving

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "ci" / "post_comment.py"


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forge_serving() as served:
        yield served


@pytest.fixture
def event(tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"pull_request": {"number": 7}}))
    return str(path)


def post(env: dict[str, str], tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """As a job does it: the script alone, with a Python that has nothing installed."""
    path = tmp_path / "comment.md"
    path.write_text(body)
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), str(path)],
        env={"PATH": os.defpath, "FREEHOLD_CI_RETRY_S": "0.01", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_one_comment_is_posted_and_then_edited(
    forge: Forge, event: str, tmp_path: Path, service: str
) -> None:
    env = forge.github(event) if service == "github" else forge.gitlab()
    for other in ("first!", "looks good", f"I saw {post_comment.MARKER} below"):
        forge.comment_add(other)
    assert post(env, tmp_path, f"{post_comment.MARKER}\none").stdout == "comment posted\n"
    for number in range(4):
        forge.comment_add(f"chatter {number}")
    assert post(env, tmp_path, f"{post_comment.MARKER}\ntwo").stdout == "comment edited\n"
    ours = [each["body"] for each in forge.comments if each["body"].startswith(post_comment.MARKER)]
    assert ours == [f"{post_comment.MARKER}\ntwo"]
    assert len(forge.comments) == 8


def test_what_may_pass_is_tried_again(forge: Forge, event: str, tmp_path: Path) -> None:
    forge.failures = [503, 429, 502]
    assert post(forge.github(event), tmp_path, post_comment.MARKER).returncode == 0
    assert len(forge.comments) == 1


def test_what_does_not_pass_ends_with_its_reason(forge: Forge, event: str, tmp_path: Path) -> None:
    forge.failures = [503] * 9
    told = post(forge.github(event), tmp_path, post_comment.MARKER)
    assert (told.returncode, len(forge.calls)) == (1, post_comment.ATTEMPTS)
    assert "GitHub answered 503" in told.stderr


def test_a_wrong_token_is_told_at_once_and_not_repeated(forge: Forge, tmp_path: Path) -> None:
    told = post({**forge.gitlab(), "GITLAB_TOKEN": "planted-wrong-token"}, tmp_path, post_comment.MARKER)
    assert (told.returncode, len(forge.calls)) == (1, 1)
    assert "GitLab answered 401" in told.stderr
    assert "planted-wrong-token" not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("GITHUB_TOKEN", "GITHUB_TOKEN is not set"),
        ("GITHUB_ACTIONS", "neither GITHUB_ACTIONS nor GITLAB_CI"),
        ("GITHUB_EVENT_PATH", "GITHUB_EVENT_PATH is not set"),
    ],
)
def test_a_missing_variable_is_named(
    forge: Forge, event: str, tmp_path: Path, missing: str, said: str
) -> None:
    env = forge.github(event)
    del env[missing]
    told = post(env, tmp_path, post_comment.MARKER)
    assert told.returncode == 1
    assert said in told.stderr
    assert forge.calls == []


def test_a_push_is_no_pull_request(forge: Forge, event: str, tmp_path: Path) -> None:
    Path(event).write_text(json.dumps({"ref": "refs/heads/main"}))
    assert "runs for no pull request" in post(forge.github(event), tmp_path, post_comment.MARKER).stderr


def test_another_text_is_not_posted(forge: Forge, event: str, tmp_path: Path) -> None:
    assert "does not begin with" in post(forge.github(event), tmp_path, "hello").stderr
    assert forge.comments == []


def test_the_marker_is_the_products() -> None:
    assert post_comment.MARKER == product.MARKER


@pytest.mark.parametrize("name", ["action.yml", "gitlab.yml"])
def test_the_jobs_are_whole(name: str) -> None:
    """They parse, name files that exist, and give the script every variable it says it needs."""
    text = (ROOT / "deploy" / "ci" / name).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    assert "preview.sh" in text
    needed = re.findall(
        r"^# Needs.*?(FREEHOLD_\w+), (FREEHOLD_\w+)", (ROOT / "deploy/ci/preview.sh").read_text(), re.M
    )
    for variable in needed[0]:
        assert variable in text
