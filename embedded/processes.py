"""Daemon processes: spawn, recognise after a restart of the parent, stop, and find when orphaned."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from embedded.errors import ProcessStartError, ProcessStopError

#: Environment variable that marks a process and all its children; its value is the unit's folder.
MARK_VARIABLE = "FREEHOLD_UNIT"

_KILL_WAIT_S = 5.0
_POLL_S = 0.02
# psutil derives creation times from the boot time, which shifts when the clock is set.
_CREATE_TIME_TOLERANCE_S = 2.0

# Children of this very process: they must be reaped, else they stay as zombies after their end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, told apart from a later one that was given the same pid."""

    pid: int
    create_time: float
    """Seconds since the epoch, as psutil gives it."""

    def to_json(self) -> str:
        return json.dumps({"pid": self.pid, "create_time": self.create_time})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """ValueError when the text is not an identity."""
        try:
            data = json.loads(text)
            return cls(pid=int(data["pid"]), create_time=float(data["create_time"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a process identity: {text[:80]!r}") from error

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of a running process; None when there is none (a zombie counts as none)."""
        try:
            process = psutil.Process(pid)
            created = process.create_time()
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.Error:
            return None
        return cls(pid=pid, create_time=created)


def process_spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log_path: Path,
    user: str | None = None,
    group: int | None = None,
    mark: str | None = None,
) -> ProcessIdentity:
    """Start a daemon in a session of its own, with stdin closed and its output appended to log_path (0600).

    `env` is its whole environment, plus the mark. `user` and `group` are taken on before the program runs
    (only root may). ProcessStartError when the program cannot be executed.
    """
    environment = dict(env)
    if mark is not None:
        environment[MARK_VARIABLE] = mark
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=[] if user is not None else None,
        )
    except OSError as error:
        raise ProcessStartError(f"cannot start {argv[0]} in {cwd}: {error.strerror}") from error
    finally:
        os.close(log)
    # Not yet reaped, so this works even when the child has already ended.
    created = psutil.Process(child.pid).create_time()
    _children[child.pid] = child
    return ProcessIdentity(pid=child.pid, create_time=created)


def process_alive(identity: ProcessIdentity) -> bool:
    """True while exactly this process runs. A zombie does not; a child of ours is reaped on the way."""
    child = _children.get(identity.pid)
    if child is not None and child.poll() is not None:
        del _children[identity.pid]
    current = ProcessIdentity.of(identity.pid)
    return current is not None and abs(current.create_time - identity.create_time) < _CREATE_TIME_TOLERANCE_S


def process_wait_gone(identity: ProcessIdentity, timeout_s: float) -> bool:
    """Wait until the process has ended; False when it still runs after timeout_s."""
    return wait_until(lambda: not process_alive(identity), timeout_s)


def wait_until(condition: Callable[[], bool], timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Poll until the condition holds; its last answer. Asks at least once."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def process_stop(
    identity: ProcessIdentity, *, first_signal: signal.Signals = signal.SIGTERM, grace_s: float
) -> None:
    """End the process: first_signal, up to grace_s of patience, then SIGKILL to its whole session.

    Returns when the process and what it left in its session are gone; a process already gone is no error.
    ProcessStopError when something survives for five seconds after SIGKILL.
    """
    # Taken first: a server's children may open sessions of their own, as Postgres backends do.
    family = {identity, *_session_members(identity), *_descendants(identity)}
    if process_alive(identity):
        _signal(identity, first_signal)
        process_wait_gone(identity, grace_s)
    family |= _session_members(identity)
    for member in family:
        if process_alive(member):
            _signal(member, signal.SIGKILL)
    survivors: list[int] = []

    def all_gone() -> bool:
        survivors[:] = [member.pid for member in family if process_alive(member)]
        return not survivors

    if not wait_until(all_gone, _KILL_WAIT_S):
        raise ProcessStopError(
            f"pids {sorted(survivors)} survived SIGKILL for {_KILL_WAIT_S:.0f} s; "
            "they hang in the kernel (see `ps -o pid,stat,wchan`), so try again later"
        )


def processes_marked(mark: str) -> list[ProcessIdentity]:
    """Running processes whose mark is `mark` or a path below it, oldest first.

    Processes whose environment may not be read (another user's) are not seen.
    """
    found = []
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARK_VARIABLE)
        except (psutil.Error, OSError):
            continue
        if value is not None and (value == mark or value.startswith(mark.rstrip("/") + "/")):
            identity = ProcessIdentity.of(process.pid)
            if identity is not None:
                found.append(identity)
    return sorted(found, key=lambda identity: identity.create_time)


def processes_kill(mark: str, *, wait_s: float = _KILL_WAIT_S) -> int:
    """SIGKILL to every process of the mark and to unmarked helpers that they started; how many there were.

    What they started with a mark of its own, such as a tenant's server, belongs to somebody else and lives on.
    ProcessStopError when one survives for wait_s.
    """
    killed: set[ProcessIdentity] = set()
    deadline = time.monotonic() + wait_s
    # Again and again: a process found now may have started another one before it died.
    while family := {each for found in processes_marked(mark) for each in (found, *_helpers(found))}:
        if time.monotonic() > deadline:
            raise ProcessStopError(f"pids {sorted(each.pid for each in family)} survived SIGKILL")
        for each in family:
            _signal(each, signal.SIGKILL)
        killed |= family
        wait_until(lambda left=family: not any(map(process_alive, left)), 1.0)  # type: ignore[misc]
    return len(killed)


def identity_write(path: Path, identity: ProcessIdentity) -> None:
    """Write atomically, mode 0600."""
    file_write_private(path, identity.to_json())


def identity_read(path: Path) -> ProcessIdentity | None:
    """None when there is no file, or one that a crash left unreadable."""
    try:
        return ProcessIdentity.from_json(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def file_write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that a reader sees the old text or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _signal(identity: ProcessIdentity, number: signal.Signals) -> None:
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return


def _descendants(identity: ProcessIdentity) -> set[ProcessIdentity]:
    if not process_alive(identity):
        return set()
    try:
        children = psutil.Process(identity.pid).children(recursive=True)
    except psutil.Error:
        return set()
    return {found for child in children if (found := ProcessIdentity.of(child.pid)) is not None}


def _helpers(identity: ProcessIdentity) -> set[ProcessIdentity]:
    """Descendants without any mark, down to the first that has one of its own.

    What such a one started is its own too, whatever its environment says: Postgres writes titles over the
    environments of its children, and killing one of them makes the whole server recover as after a crash.
    """
    found: set[ProcessIdentity] = set()
    looked = [identity.pid] if process_alive(identity) else []
    while looked:
        try:
            children = psutil.Process(looked.pop()).children()
        except psutil.Error:
            continue
        for child in children:
            try:
                marked = MARK_VARIABLE in child.environ()
            except psutil.Error:
                continue
            helper = ProcessIdentity.of(child.pid)
            if not marked and helper is not None:
                found.add(helper)
                looked.append(child.pid)
    return found


def _session_members(identity: ProcessIdentity) -> set[ProcessIdentity]:
    """Processes of the session this process leads or led.

    The kernel does not give a pid away while a session carries it, so members of a dead leader are its own,
    unless a newer leader holds the pid now.
    """
    holder = ProcessIdentity.of(identity.pid)
    if holder is not None and not process_alive(identity):
        return set()
    members = set()
    for pid in psutil.pids():
        try:
            if os.getsid(pid) != identity.pid:
                continue
        except OSError:
            continue
        member = ProcessIdentity.of(pid)
        if member is not None and member.create_time > identity.create_time - _CREATE_TIME_TOLERANCE_S:
            members.add(member)
    return members
