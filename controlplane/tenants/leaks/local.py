"""The leak scan of a local tenant: processes with its mark, its folder, GPUs in its name."""

from pathlib import Path

import psutil

from contracts.placement import LocalPlacement
from controlplane.tenants.leaks.model import Leak, Scan
from embedded.processes import processes_marked


def local_left(slug: str, place: LocalPlacement) -> Scan:
    """Everything of the tenant that is left on this machine."""
    return Scan(leaks=_left(slug, place), asked=["process", "directory", "GPU"])


def local_restless(slug: str, place: LocalPlacement) -> Scan:
    """What a suspended tenant must not have: a process of its runtime, a GPU."""
    found = [*_processes(f"{place.data_dir}/runtime"), *_gpus(slug, Path(place.gpu_registry_dir))]
    return Scan(leaks=found, asked=["process of the runtime", "GPU"])


def _left(slug: str, place: LocalPlacement) -> list[Leak]:
    found = _processes(place.data_dir)
    if Path(place.data_dir).exists():
        files = sum(1 for path in Path(place.data_dir).rglob("*") if path.is_file())
        found.append(Leak("directory", place.data_dir, f"{files} files"))
    return [*found, *_gpus(slug, Path(place.gpu_registry_dir))]


def _processes(folder: str) -> list[Leak]:
    return [
        Leak("process", str(identity.pid), _command(identity.pid)) for identity in processes_marked(folder)
    ]


def _gpus(slug: str, registry: Path) -> list[Leak]:
    entries = sorted(registry.glob("*")) if registry.is_dir() else []
    return [
        Leak("gpu", entry.name, "still assigned")
        for entry in entries
        if entry.is_file() and _names(entry, slug)
    ]


def _command(pid: int) -> str:
    """The program's name; its arguments are left out, they are not ours to show."""
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def _names(entry: Path, slug: str) -> bool:
    try:
        return (
            f'"{slug}"' in entry.read_text(errors="replace")
            or entry.read_text(errors="replace").strip() == slug
        )
    except OSError:
        return False
