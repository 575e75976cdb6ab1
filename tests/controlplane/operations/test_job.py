"""The engine's environment: of the worker's variables only those that the target's plugins sign in with."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from controlplane.operations.job import engine_environment
from controlplane.operations.process import work_dir_prepare
from controlplane.tenants.targets_file import targets_file_read
from tests.support.clouds import example_write

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "DATABASE_URL": "postgres://secret",
    "FREEHOLD_SECRET_KEY": "ours",
    "GOOGLE_APPLICATION_CREDENTIALS": "/k.json",
    "AWS_SOMETHING_ELSE": "x",
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = example_write(tmp_path, ("environment = []", 'environment = ["GOOGLE_APPLICATION_CREDENTIALS"]'))
    settings.FREEHOLD_TARGETS_FILE = targets_file_read(path)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("local", set()),
        ("aws", {"AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"}),
        ("kubernetes", {"GOOGLE_APPLICATION_CREDENTIALS"}),
    ],
)
def test_each_target_gets_what_it_signs_in_with(target: str, expected: set[str], tmp_path: Path) -> None:
    environment = engine_environment(pulumi_home=tmp_path, backend_url="file:///x", target=target)
    assert {name for name in SECRETS if name in environment} == expected
    assert environment["PULUMI_HOME"] == str(tmp_path)


def test_the_official_plugins_may_be_downloaded_and_ours_may_not(tmp_path: Path) -> None:
    def engine(target: str) -> dict[str, str]:
        return engine_environment(pulumi_home=tmp_path, backend_url="file:///x", target=target)

    forbids, unreachable = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "PULUMI_K8S_DELETE_UNREACHABLE"
    assert engine("local")[forbids] == "true"
    assert forbids not in engine("aws")
    assert forbids not in engine("kubernetes")
    # Only where the cluster goes with the stack may its contents be taken for gone.
    assert engine("aws")[unreachable] == "true"
    assert unreachable not in engine("kubernetes")


def test_runs_share_one_folder_of_plugins(settings: Any, tmp_path: Path) -> None:
    settings.FREEHOLD_HOME = tmp_path
    first, second = (work_dir_prepare(uuid4(), uuid4()) / "home" / "plugins" for _ in range(2))
    (first / "resource-aws-v7.51.1").mkdir()
    assert (second / "resource-aws-v7.51.1").is_dir()
