"""A unit's folder: its file `unit.json`, its lock, its secrets, and its removal.

A unit is one process of a tenant together with its folder. The file holds all that is needed to start it
again, secrets aside: those lie beside it in files of mode 0600.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.processes import file_write_private, process_stop, processes_marked
from stacks.errors import UnitBroken, UnitBusy

UNIT_FILE = "unit.json"
LOCK_FILE = ".lock"
LOCK_WAIT_S = 60.0

_SCHEMA = 1
_STRAGGLER_GRACE_S = 3.0


@dataclass(frozen=True)
class UnitFile:
    kind: str
    name: str
    tenant: str
    should_run: bool
    params: dict[str, Any]


def unit_write(folder: Path, unit: UnitFile) -> None:
    body = {"schema": _SCHEMA, **unit.__dict__}
    file_write_private(folder / UNIT_FILE, json.dumps(body, indent=1, sort_keys=True) + "\n")


def unit_read(folder: Path) -> UnitFile | None:
    """None when the folder holds no unit. UnitBroken when its file cannot be understood."""
    path = folder / UNIT_FILE
    try:
        body = json.loads(path.read_text())
        if body.pop("schema") != _SCHEMA:
            raise ValueError("written by another version")
        return UnitFile(**body)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnitBroken(
            f"{path} is not a unit file ({error}): destroy the resource and create it again"
        ) from error


def folder_make(folder: Path) -> None:
    """Create the folder, and the tenant's above it, closed to everybody else."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def unit_lock(folder: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the unit alone: a provider left over from a killed engine may still be working on it.

    The folder must exist. The system frees the lock when its holder dies. UnitBusy after wait_s.
    """
    deadline = time.monotonic() + wait_s
    while True:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise UnitBusy(
                    f"another process has worked on {folder} for {wait_s:.0f} s: wait for it, then try again"
                ) from None
            time.sleep(0.05)
            continue
        if _still_linked(descriptor, folder / LOCK_FILE):
            break
        # The previous holder removed the folder, and somebody made it anew.
        os.close(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def secret_ensure(path: Path) -> bool:
    """Make a random secret in the file (0600) unless there is one; True when it was made."""
    if path.exists():
        return False
    file_write_private(path, secrets.token_urlsafe(32))
    return True


def secret_path(folder: Path, name: str, generation: int) -> Path:
    """Where the secret of a generation lies: `owner.password` at first, then `owner-2.password`."""
    return folder / (f"{name}.password" if generation == 1 else f"{name}-{generation}.password")


def secrets_forget(folder: Path, name: str, *, keep: int) -> None:
    """Remove the secrets of all generations but one."""
    for path in secrets_others(folder, name, keep=keep):
        path.unlink(missing_ok=True)


def secrets_others(folder: Path, name: str, *, keep: int) -> list[Path]:
    """The secrets of all generations but one."""
    kept = secret_path(folder, name, keep)
    found = [folder / f"{name}.password", *folder.glob(f"{name}-*.password")]
    return [path for path in found if path != kept and path.exists()]


def secret_read(path: Path) -> str:
    """UnitBroken when the file is gone: only destroying the resource helps then."""
    try:
        return path.read_text()
    except FileNotFoundError:
        raise UnitBroken(
            f"{path} is missing, so nobody can log in to what it opens: put the file back from a backup, or "
            "destroy the resource (its data too) and create it again"
        ) from None


def stragglers_stop(folder: Path) -> list[int]:
    """End what still runs with the mark of this folder or one below it; their pids."""
    left = processes_marked(str(folder))
    for identity in left:
        process_stop(identity, first_signal=signal.SIGTERM, grace_s=_STRAGGLER_GRACE_S)
    return [identity.pid for identity in left]


def folder_remove(folder: Path) -> None:
    """Remove the folder and all below it. A folder that is gone is no error."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():
            # Something vanished while we walked: a last process tidied up behind us.
            shutil.rmtree(folder)


def _still_linked(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
