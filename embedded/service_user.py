"""The user a server runs as: ourselves, or `nobody` when we are root (Postgres refuses to run as root)."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import FolderClosedError

SERVICE_USER = "nobody"

# Bit number of linux/capability.h.
_CAP_DAC_READ_SEARCH = 2


@dataclass(frozen=True)
class Launch:
    """How to start a program: its argv, and the user and group for the child (None: our own)."""

    argv: list[str]
    user: str | None = None
    group: int | None = None


def service_launch(argv: Sequence[str], *, must_reach: Iterable[Path]) -> Launch:
    """Prepare argv to run without root's powers.

    When a folder on the way to one of the `must_reach` paths is closed to the service user (a checkout below
    a 0700 home), the program keeps one capability, the right to pass closed folders. FolderClosedError when
    that is needed and util-linux's setpriv is missing.
    """
    if os.geteuid() != 0:
        return Launch(list(argv))
    account = pwd.getpwnam(SERVICE_USER)
    closed = next((folder for path in must_reach if (folder := _closed_folder(path, account))), None)
    if closed is None:
        return Launch(list(argv), user=SERVICE_USER, group=account.pw_gid)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise FolderClosedError(
            f"the user {SERVICE_USER}, as whom servers run when started by root, cannot pass the folder "
            f"{closed}: run `chmod o+x {closed}`, install util-linux (setpriv), or run as an ordinary user"
        )
    capability = _passing_capability()
    drop = [
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps=+{capability}",
        f"--ambient-caps=+{capability}",
        "--",
    ]
    return Launch([*drop, *argv])


def service_own(path: Path) -> None:
    """Give a file or an (empty) folder to the service user. Nothing to do when we are not root."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(SERVICE_USER)
        os.chown(path, account.pw_uid, account.pw_gid)


def _closed_folder(path: Path, account: pwd.struct_passwd) -> Path | None:
    """The topmost folder above `path` that the account may not pass; None when it reaches the path."""
    groups = {account.pw_gid, *(g.gr_gid for g in grp.getgrall() if account.pw_name in g.gr_mem)}
    for folder in reversed(path.resolve().parents):
        status = folder.stat()
        if status.st_uid == account.pw_uid:
            needed = stat.S_IXUSR
        elif status.st_gid in groups:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return folder
    return None


def _passing_capability() -> str:
    """The weakest capability we hold that opens folders: containers often lack dac_read_search."""
    status = Path("/proc/self/status").read_text()
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    held = int(bounding, 16)
    return "dac_read_search" if held & (1 << _CAP_DAC_READ_SEARCH) else "dac_override"
