"""The leak scan: what of a tenant still exists on its target after its stack was destroyed, or suspended.

The scan looks at the target itself, not at Pulumi's state: a state that forgot a resource is what it is for.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil

from contracts.placement import LocalPlacement
from contracts.stack import StackSpec
from embedded.processes import processes_marked


@dataclass(frozen=True)
class Leak:
    """`id` finds it on the target: a pid, a path."""

    kind: str
    id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}{': ' + self.detail if self.detail else ''}"


def leaks_find(spec: StackSpec) -> list[Leak]:
    """Everything that bears the tenant's tag; empty when nothing is left. Only the local target has a scan so far."""
    return [] if spec.local is None else _local(spec.slug, spec.local)


def restless_find(spec: StackSpec) -> list[Leak]:
    """What a suspended tenant must not have: a process of its runtime, a GPU. Empty when it rests."""
    if spec.local is None:
        return []
    runtime = f"{spec.local.data_dir}/runtime"
    return [*_processes(runtime), *_gpus(spec.slug, Path(spec.local.gpu_registry_dir))]


def _local(slug: str, place: LocalPlacement) -> list[Leak]:
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
