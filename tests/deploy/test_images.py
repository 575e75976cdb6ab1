"""The Dockerfiles hold the rules of an image that may run anywhere, and the build script refuses what they forbid.

No container is built here: what their steps install is tried in test_packaging.py."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest
from dockerfile_parse import DockerfileParser

from controlplane.cli.services import SECRET_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "deploy" / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
DIGEST = "sha256:" + "5" * 64
BASES = {"PYTHON_IMAGE": f"python:3.11-slim-bookworm@{DIGEST}", "GO_IMAGE": f"golang:1.26-bookworm@{DIGEST}"}


class Instruction(TypedDict):
    instruction: str
    value: str


def stages(path: Path) -> list[list[Instruction]]:
    """The instructions of each stage, FROM first; what stands before the first FROM is left out."""
    found: list[list[Instruction]] = []
    for each in DockerfileParser(fileobj=path.open("rb")).structure:
        if each["instruction"] == "FROM":
            found.append([])
        if found and each["instruction"] != "COMMENT":
            found[-1].append(Instruction(instruction=each["instruction"], value=each["value"]))
    return found


def global_arguments(path: Path) -> list[str]:
    structure = DockerfileParser(fileobj=path.open("rb")).structure
    first = next(n for n, each in enumerate(structure) if each["instruction"] == "FROM")
    return [each["value"] for each in structure[:first] if each["instruction"] == "ARG"]


def values(stage: list[Instruction], *names: str) -> list[str]:
    return [each["value"] for each in stage if each["instruction"] in names]


pytestmark = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)


def test_both_images_are_there(path: Path) -> None:
    assert {each.stem for each in DOCKERFILES} == {"control-plane", "runtime"}


def test_every_base_is_given_by_digest(path: Path) -> None:
    arguments = global_arguments(path)
    assert arguments, "bases are arguments"
    assert all("=" not in each for each in arguments), "no default: a digest is not made up"
    named: set[str] = set()
    for stage in stages(path):
        words = stage[0]["value"].split()
        base = words[0]
        assert base in named or base in {f"${{{each}}}" for each in arguments}
        if base not in named and len(words) == 3:
            argument = base[2:-1]
            checks = [text for text in values(stage, "RUN") if f'"${{{argument}}}"' in text]
            assert any("*@sha256:*) ;;" in text and "exit 1" in text for text in checks)
        named |= {words[2]} if len(words) == 3 else set()
    # The last stage has no check of its own: its base is one of those checked.
    last = stages(path)[-1][0]["value"]
    assert last in {stage[0]["value"].split()[0] for stage in stages(path)[:-1]}


def test_the_check_of_a_base_refuses_a_tag(path: Path) -> None:
    checks = [text for stage in stages(path) for text in values(stage, "RUN") if "must name a digest" in text]
    assert checks
    for text in checks:
        for name, good in BASES.items():
            tried = [
                subprocess.run(["sh", "-c", text], env={name: value}, capture_output=True).returncode
                for value in (good, good.split("@")[0], "")
            ]
            if name in text:
                assert tried == [0, 1, 1]


def test_it_runs_as_nobody_in_particular(path: Path) -> None:
    last = stages(path)[-1]
    (user,) = values(last, "USER")
    uid, gid = user.split(":")
    assert int(uid) >= 10000
    assert int(gid) >= 10000
    position = [each["instruction"] for each in last].index("USER")
    assert "RUN" not in [each["instruction"] for each in last[position:]]


def test_no_secret_is_an_argument_or_a_variable(path: Path) -> None:
    secret = re.compile(r"SECRET|PASSWORD|TOKEN|CREDENTIAL|_KEY|PASSPHRASE", re.IGNORECASE)
    for stage in stages(path):
        for text in values(stage, "ENV", "ARG"):
            names = [word.split("=")[0] for word in shlex.split(text)]
            assert not [name for name in names if secret.search(name) or name in SECRET_VARIABLES]


def test_only_what_is_named_can_be_copied(path: Path) -> None:
    lines = (IMAGES / f"{path.name}.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    admitted = [line[1:] for line in patterns if line.startswith("!")]
    assert all((ROOT / name).exists() for name in admitted)
    assert not [name for name in admitted if name.startswith((".", "tests", "docs", "benchmarks", "deploy"))]
    assert "**/__pycache__" in patterns
    for stage in stages(path):
        for text in values(stage, "COPY", "ADD"):
            words = text.split()
            if words[0].startswith("--from="):
                continue
            for source in words[:-1]:
                assert source == "." or source in admitted, f"{source} is not in the context"


def test_health_is_looked_at_or_the_reason_is_given(path: Path) -> None:
    if not values(stages(path)[-1], "HEALTHCHECK"):
        assert "No HEALTHCHECK" in path.read_text()


def test_the_runtime_image_holds_two_rooms(path: Path) -> None:
    if path.stem == "runtime":
        copied = [text for stage in stages(path)[:-1] for text in values(stage, "COPY")]
        assert copied == [
            "pyproject.toml uv.lock ./",
            "contracts /app/contracts",
            "tenant_runtime /app/tenant_runtime",
        ]
        assert "--only-group runtime --no-install-project" in path.read_text()


def test_the_pulumi_cli_is_built_as_in_a_checkout(path: Path) -> None:
    if path.stem != "control-plane":
        return
    bootstrap = (ROOT / "tools" / "bootstrap.py").read_text()
    version = re.search(r'^PULUMI_VERSION = "(.+)"$', bootstrap, re.MULTILINE)
    assert version is not None
    (stage,) = [stage for stage in stages(path) if stage[0]["value"].endswith("AS pulumi")]
    assert f"PULUMI_VERSION={version[1]}" in values(stage, "ARG")
    build = " ".join(values(stage, "RUN"))
    for flag in ("-trimpath", "osusergo,grpcnotrace", "sdk/v3/go/common/version.Version=v", "-mod=readonly"):
        assert flag in build
        assert flag in bootstrap


# --- the script that builds them --------------------------------------------------------------------------
#: Stands in for docker: keeps what it was asked, and tells a digest as buildx does.
FAKE_DOCKER = """#!{python}
import json, os, sys
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
with open(sys.argv[sys.argv.index("--metadata-file") + 1], "w") as file:
    json.dump({{"containerimage.digest": "sha256:" + "7" * 64, "image.name": "x"}}, file, indent=2)
"""


def build(tmp_path: Path, *arguments: str, **environment: str) -> tuple[Any, list[list[str]]]:
    tools, asked = tmp_path / "tools", tmp_path / "asked"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(FAKE_DOCKER.format(python=sys.executable))
    (tools / "docker").chmod(0o755)
    done = subprocess.run(
        ["bash", str(IMAGES / "build.sh"), *arguments],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "ASKED": str(asked), **environment},
        capture_output=True,
        text=True,
    )
    return done, [json.loads(line) for line in asked.read_text().splitlines()] if asked.exists() else []


def test_an_image_is_built_with_sbom_and_provenance(path: Path, tmp_path: Path) -> None:
    done, asked = build(tmp_path, "registry.example.com/freehold/", **BASES)
    assert done.returncode == 0, done.stderr
    image = path.stem
    assert f"registry.example.com/freehold/{image}@sha256:{'7' * 64}" in done.stdout.splitlines()
    (argv,) = [each for each in asked if f"deploy/images/{path.name}" in each]
    assert {"--sbom=true", "--provenance=mode=max", "--push"} <= set(argv)
    given = [argv[n + 1] for n, word in enumerate(argv) if word == "--build-arg"]
    assert given == [f"{name}={BASES[name]}" for name in global_arguments(path)]


def test_a_base_without_a_digest_is_refused_before_anything_is_built(path: Path, tmp_path: Path) -> None:
    for name in global_arguments(path):
        for wrong in ("", "python:3.11", "python@sha256:abc", f"python:3.11@{DIGEST} --push"):
            done, asked = build(tmp_path, "registry.example.com/freehold", **{**BASES, name: wrong})
            assert done.returncode == 2
            assert f"{name}: found '{wrong}'; wanted an image by digest" in done.stderr
            assert asked == []
