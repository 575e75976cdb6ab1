"""This machine's GPUs, each assigned to at most one tenant by a file that can be made only once."""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded.processes import file_write_private

_QUERY = ["--query-gpu=uuid,index,name,memory.total", "--format=csv,noheader,nounits"]
_QUERY_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Gpu:
    uuid: str
    index: int
    name: str
    memory_mb: int


@dataclass(frozen=True)
class GpuHolding:
    """What a tenant holds. `note` says why it is less than asked for, and is empty when it is not."""

    gpus: tuple[Gpu, ...]
    note: str
    since: str | None = None
    """When the tenant last took or gave back a GPU, in ISO 8601; None when it never held one."""

    def outputs(self) -> dict[str, Any]:
        outputs = {"gpus": [asdict(gpu) for gpu in self.gpus], "note": self.note}
        return outputs if self.since is None else {**outputs, "since": self.since}


def gpus_present() -> tuple[list[Gpu], str]:
    """The machine's GPUs as nvidia-smi names them; with none, the reason."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], "this machine has no NVIDIA driver (nvidia-smi is not installed)"
    try:
        done = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi did not answer within {_QUERY_TIMEOUT_S:.0f} s"
    if done.returncode != 0:
        return [], f"nvidia-smi failed: {(done.stderr or done.stdout).strip()[:200]}"
    gpus = []
    for line in done.stdout.splitlines():
        fields = [part.strip() for part in line.split(",")]
        if len(fields) == 4 and fields[1].isdecimal():
            memory = int(fields[3]) if fields[3].isdecimal() else 0
            gpus.append(Gpu(fields[0], int(fields[1]), fields[2], memory))
    return gpus, "" if gpus else "nvidia-smi lists no GPU"


def gpus_assign(registry: Path, tenant: str, count: int) -> GpuHolding:
    """Give the tenant `count` GPUs, keeping what it holds; fewer when fewer are free. Idempotent."""
    present, reason = gpus_present()
    registry.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = [gpu for gpu in present if _holder(registry, gpu) == tenant]
    if len(held) > count:
        # Before they are given back: a crash between the two must not lose the moment.
        _change_note(registry, tenant)
    for gpu in held[count:]:
        _path(registry, gpu).unlink(missing_ok=True)
    held = held[:count]
    for gpu in present:
        if len(held) >= count:
            break
        if gpu not in held and _take(registry, gpu, tenant):
            held.append(gpu)
            _change_note(registry, tenant)
    return GpuHolding(tuple(held), _note(len(held), count, len(present), reason), _changed(registry, tenant))


def gpus_held(registry: Path, tenant: str, count: int) -> GpuHolding:
    """What the tenant holds of what is present now."""
    present, reason = gpus_present()
    held = tuple(gpu for gpu in present if _holder(registry, gpu) == tenant)
    return GpuHolding(held, _note(len(held), count, len(present), reason), _changed(registry, tenant))


def gpus_release(registry: Path, tenant: str) -> None:
    """Give back all the tenant holds, also GPUs that have left the machine."""
    for path in registry.glob("gpu-*.json"):
        if _holder_of(path) == tenant:
            path.unlink(missing_ok=True)
    _change_path(registry, tenant).unlink(missing_ok=True)


def _change_path(registry: Path, tenant: str) -> Path:
    return registry / f"changed-{tenant}"


def _change_note(registry: Path, tenant: str) -> None:
    file_write_private(_change_path(registry, tenant), datetime.now(UTC).isoformat())


def _changed(registry: Path, tenant: str) -> str | None:
    try:
        return datetime.fromisoformat(_change_path(registry, tenant).read_text()).isoformat()
    except (OSError, ValueError):
        return None


def _note(held: int, wanted: int, present: int, reason: str) -> str:
    if held >= wanted:
        return ""
    return f"{held} of {wanted} GPUs assigned: " + (
        reason or f"the others of this machine's {present} belong to other tenants"
    )


def _path(registry: Path, gpu: Gpu) -> Path:
    return registry / f"gpu-{gpu.uuid}.json"


def _holder(registry: Path, gpu: Gpu) -> str | None:
    return _holder_of(_path(registry, gpu))


def _holder_of(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["tenant"])
    except FileNotFoundError:
        return None


def _take(registry: Path, gpu: Gpu, tenant: str) -> bool:
    """Put the finished file in place by a link, which fails when another was faster."""
    descriptor, temporary = tempfile.mkstemp(prefix=".taking-", dir=registry)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"tenant": tenant, "gpu": asdict(gpu)}, file)
        os.link(temporary, _path(registry, gpu))
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True
