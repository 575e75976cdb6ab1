"""Where processes can be seen from: a worker can prove a run dead only where it would see it alive."""

import os
import socket
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def host_here() -> str:
    """`hostname/boot-pidns`: two workers with the same one see each other's processes.

    A host name is not enough: containers of one machine do not see each other, and clones share names. Where the
    system tells neither boot nor namespace, the name has to do.
    """
    try:
        boot = _BOOT_ID.read_text().strip().replace("-", "")[:12]
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}-{namespace}"


def owner_name(worker: str) -> str:
    """What a lease says of its holder."""
    return f"{worker}@{host_here()}"


def seen_from_here(owner: str) -> bool:
    """Whether the processes of a lease's holder, if any live, are visible here; or provably gone by a reboot."""
    host = owner.rpartition("@")[2]
    here = host_here()
    if host == here:
        return True
    name, _, rest = host.partition("/")
    here_name, _, here_rest = here.partition("/")
    # The same machine after a reboot: nothing that ran before it can be alive.
    return bool(
        name == here_name
        and rest
        and here_rest
        and rest.partition("-")[0] != here_rest.partition("-")[0]
        and rest.partition("-")[2] == here_rest.partition("-")[2]
    )
