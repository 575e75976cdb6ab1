"""GPUs are assigned exclusively; a stand-in `nvidia-smi` gives the machine some."""

import threading
from pathlib import Path

import pytest

from stacks.providers.local.gpus import GpuHolding, gpus_assign, gpus_held, gpus_release
from stacks.providers.local.handlers import HANDLERS

GPUS = HANDLERS["local:index:GpuAllocation"]


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs, and its registry."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU-a, 0, L4, 23034'\necho 'GPU-b, 1, L4, 23034'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "registry"


def uuids(holding: GpuHolding) -> list[str]:
    return [gpu.uuid for gpu in holding.gpus]


def test_no_driver_is_an_answer_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    holding = gpus_assign(tmp_path / "registry", "acme", 2)
    assert holding.gpus == ()
    assert holding.note == (
        "0 of 2 GPUs assigned: this machine has no NVIDIA driver (nvidia-smi is not installed)"
    )
    assert gpus_assign(tmp_path / "registry", "acme", 0).note == ""


def test_a_gpu_belongs_to_one_tenant_until_it_is_given_back(two_gpus: Path) -> None:
    assert uuids(gpus_assign(two_gpus, "acme", 1)) == ["GPU-a"]
    assert uuids(gpus_assign(two_gpus, "acme", 1)) == ["GPU-a"]
    globex = gpus_assign(two_gpus, "globex", 2)
    assert uuids(globex) == ["GPU-b"]
    assert globex.note == "1 of 2 GPUs assigned: the others of this machine's 2 belong to other tenants"
    gpus_release(two_gpus, "acme")
    assert uuids(gpus_assign(two_gpus, "globex", 2)) == ["GPU-b", "GPU-a"]
    assert gpus_held(two_gpus, "acme", 1).gpus == ()


def test_a_smaller_count_gives_back(two_gpus: Path) -> None:
    assert len(gpus_assign(two_gpus, "acme", 2).gpus) == 2
    assert uuids(gpus_assign(two_gpus, "acme", 1)) == ["GPU-a"]
    assert uuids(gpus_assign(two_gpus, "globex", 1)) == ["GPU-b"]


def test_a_race_has_one_winner_a_gpu(two_gpus: Path) -> None:
    held: list[str] = []

    def take(tenant: str) -> None:
        held.extend(uuids(gpus_assign(two_gpus, tenant, 1)))

    threads = [threading.Thread(target=take, args=(f"tenant{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == ["GPU-a", "GPU-b"]


def test_the_handler_reads_and_deletes_by_id(two_gpus: Path) -> None:
    values = {"tenant": "acme", "registry_dir": str(two_gpus), "count": 1}
    created = GPUS.create(GPUS.parse(values))
    identity = GPUS.identify(values)
    assert GPUS.read(identity, values) == created
    GPUS.delete(identity, created)
    GPUS.delete(identity, created)
    assert list(two_gpus.iterdir()) == []
