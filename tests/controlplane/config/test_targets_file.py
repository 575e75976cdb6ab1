"""The targets file is refused by field, when the process starts; the example in the documentation is a good one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.config.env import Environment
from controlplane.tenants.targets_file import targets_file_read, targets_problems
from tests.support.clouds import example_write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def example(tmp_path: Path) -> str:
    return example_write(tmp_path).read_text(encoding="utf-8")


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: ") as raised:
        targets_file_read(path)
    return str(raised.value)


def test_the_example_of_the_documentation_is_accepted(tmp_path: Path, example: str) -> None:
    path = tmp_path / "targets.toml"
    path.write_text(example)
    file = targets_file_read(path)
    assert file.aws is not None
    assert file.kubernetes is not None
    assert list(file.aws.regions) == ["eu-central-1", "us-east-1"]
    assert file.aws.regions["eu-central-1"].vpc_prefix == 16


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('account_id = "111122223333"', 'account_id = "1111"', "aws.account_id: found '1111'; String should match"),
        ("us-east-1c", "eu-west-1c", "aws: regions.us-east-1.zones: eu-west-1c is not of the region us-east-1"),
        (', "us-east-1c"]', "]", "aws.regions.us-east-1.zones: found ['us-east-1a', 'us-east-1b']; wanted 3"),
        ("172.16.0.0/12", "172.16.0.1/12", "found '172.16.0.1/12'; wanted an IPv4 network in CIDR notation"),
        ("172.16.0.0/12", "8.0.0.0/12", "aws.regions.us-east-1.vpc_pool: found '8.0.0.0/12'; wanted a network within"),
        ("172.16.0.0/12", "10.96.0.0/12", "aws: regions.us-east-1.vpc_pool overlaps that of eu-central-1"),
        ("10.64.0.0/10", "10.0.0.0/9", "regions.eu-central-1.vpc_pool overlaps 10.0.0.0/16, where the control"),
        ("172.16.0.0/12", "172.16.0.0/19", "vpc_pool 172.16.0.0/19 holds no /18 network"),
        ('metrics-server = "v', 'metrics = "v', "wanted a version for metrics-server, too"),
        ("vpc_prefix = 18", "vpc_prefix = 24", "aws.regions.us-east-1.vpc_prefix: found 24; "),
        ('context = "tenants"', 'contxt = "tenants"', "kubernetes.contxt: found 'tenants'; Extra inputs"),
        ('role/freehold-control-plane"', 'user/alice"', "aws.administrators.0: found 'arn:aws:iam::111122223333:user"),
        ("/kubeconfig", "/kubeconfig-gone", "wanted the absolute path of a kubeconfig file that is there"),
        ("@sha256:aaaa", ":v1@sha256:", "images.runtime: found 'registry.example.com"),
        ("[aws]", "[aws", "wanted a TOML file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_was_found(
    tmp_path: Path, example: str, old: str, new: str, words: str
) -> None:
    assert old in example
    assert words in refused(tmp_path, example.replace(old, new, 1))


@pytest.mark.parametrize("name", ["aws", "kubernetes"])
def test_the_charts_examples_are_accepted(tmp_path: Path, name: str) -> None:
    values = ROOT / "deploy" / "helm" / "freehold" / "ci" / f"{name}-values.yaml"
    given = yaml.safe_load(values.read_text(encoding="utf-8"))["targets"]
    (tmp_path / "kubeconfig").touch()
    path = tmp_path / "targets.toml"
    path.write_text(given["file"].replace("/etc/freehold/kubeconfig/config", f"{tmp_path}/kubeconfig"))
    assert targets_problems(given["enabled"], targets_file_read(path)) == []


def test_every_wrong_field_is_named_at_once(tmp_path: Path, example: str) -> None:
    said = refused(tmp_path, example.replace("1.34", "134").replace("vpc_prefix = 16", "vpc_prefix = 8"))
    assert "aws.kubernetes_version: found '134'" in said
    assert "aws.regions.eu-central-1.vpc_prefix: found 8" in said


def test_the_reader_says_it_as_a_problem_of_the_start(tmp_path: Path) -> None:
    env = Environment(source={"TARGETS": str(tmp_path / "gone.toml")})
    assert env.document("TARGETS", "where", read=targets_file_read).aws is None
    assert env.problems == [
        f"TARGETS: {tmp_path}/gone.toml: cannot be read (No such file or directory); wanted a readable TOML file"
    ]
    assert Environment(source={}).document("TARGETS", "where", read=targets_file_read).kubernetes is None


def test_a_target_without_its_section_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text("")

    def started(**variables: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", "import django; django.setup()"],
            cwd=ROOT,
            env={**os.environ, "FREEHOLD_TARGETS": "local,aws,moon", **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )

    refused = started(FREEHOLD_TARGETS_FILE=str(path))
    assert refused.returncode != 0
    assert "FREEHOLD_TARGETS: found 'aws'; wanted a section [aws] for it in the file" in refused.stderr
    assert "FREEHOLD_TARGETS: found 'moon'; wanted some of local, kubernetes, aws" in refused.stderr
    assert started(FREEHOLD_TARGETS="local").returncode == 0
