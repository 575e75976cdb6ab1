"""The tenant's agent runtime as a process of this machine."""

import hashlib
import http.client
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedded.errors import log_tail
from embedded.ports import LOOPBACK, port_demand
from embedded.processes import (
    ProcessIdentity,
    file_write_private,
    identity_read,
    process_alive,
    process_spawn,
    process_stop,
    process_wait_gone,
    processes_marked,
)
from stacks.errors import UnitBroken, UnitNotReady
from stacks.providers.local.inputs import RuntimeInputs
from stacks.providers.local.power import power_note, power_since
from stacks.providers.local.swap import swap_finish
from stacks.providers.local.unitfile import UnitFile, stragglers_stop
from stacks.providers.local.units import READY_WAIT_S, STOP_GRACE_S, Unit

#: Secret input -> the variable that names its file.
SECRET_VARIABLES = {
    "database_url": "RUNTIME_DATABASE_URL_FILE",
    "redis_url": "RUNTIME_REDIS_URL_FILE",
    "vector_url": "RUNTIME_VECTOR_URL_FILE",
    "admin_key": "RUNTIME_ADMIN_KEY_FILE",
    "usage_token": "RUNTIME_USAGE_TOKEN_FILE",
    "model_api_key": "MODEL_API_KEY_FILE",
    "token_keys": "RUNTIME_JWT_KEYS_FILE",
    "storage_keys": "RUNTIME_ENCRYPTION_KEYS_FILE",
    "webhook_secret": "RUNTIME_WEBHOOK_SECRET_FILE",
}

#: The file in which a process says that it serves, and how long it may drain: the runtime's own limit is 25 s.
READY_FILE = "ready"
DRAIN_WAIT_S = 35.0
HURRY_S = 0.5

_POLL_S = 0.1
_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class RuntimeUnit(Unit):
    """Its secrets come as inputs when the provider makes it, and from its files when it boots."""

    KIND = "runtime"
    BOOT_RANK = 1
    inputs: RuntimeInputs

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.inputs.port}"

    @property
    def secrets_dir(self) -> Path:
        return self.folder / "secrets"

    @property
    def identity_path(self) -> Path:
        return self.folder / "identity.json"

    @property
    def should_run(self) -> bool:
        return not self.inputs.suspended

    def prepare(self) -> bool:
        self.secrets_dir.mkdir(mode=0o700, exist_ok=True)
        changed = False
        for name in SECRET_VARIABLES:
            wanted = getattr(self.inputs, name)
            if wanted == self._secret(name):
                continue
            changed = True
            if wanted is None:
                (self.secrets_dir / name).unlink()
            else:
                file_write_private(self.secrets_dir / name, wanted)
        return changed

    def start(self) -> None:
        identity = self.running()
        if identity is None:
            # A restore that was committed counts: the runtime must not see the data it replaces.
            swap_finish(self.folder.parent)
            stragglers_stop(self.folder)
            port_demand(self.inputs.port, f"the runtime of tenant {self.inputs.tenant}")
            identity = self._spawn(predecessor=None)
            self._identify(identity)
        else:
            self._strays_end(keep=identity)
        self._wait_ready(identity)
        power_note(self.folder, on=True)

    def outdated(self, before: UnitFile | None, *, stale: bool) -> bool:
        """By the mark the process itself was started with: a crash may have come between the files and it."""
        return self._started_with() != self._fingerprint()

    def replace(self) -> None:
        """Hands over: a successor serves on the same socket before the old process ends, so nobody is turned away.

        The identity moves in one step, once the successor serves. A kill at any point leaves a process that
        answers; what it leaves besides is ended by the next attempt. UnitNotReady when the successor does not
        become ready: the old process goes on.
        """
        old = self.running()
        if old is None or not offer_path(self.folder, old.pid).exists():
            self.stop()  # one that cannot hand over: on another port, or started by an earlier release
            return
        self._strays_end(keep=old)
        new = self._spawn(predecessor=old)
        try:
            self._wait_serving(new)
        except BaseException:
            process_stop(new, grace_s=STOP_GRACE_S)
            raise
        self._identify(new)
        self._end(old, drain_s=DRAIN_WAIT_S)

    def running(self) -> ProcessIdentity | None:
        identity = identity_read(self.identity_path)
        if identity is not None and process_alive(identity):
            return identity
        # A crash between the start and the identity file: the leader of a session is the server itself.
        for orphan in processes_marked(str(self.folder)):
            if _leads_a_session(orphan.pid):
                return orphan
        return None

    def stop(self) -> None:
        identity = self.running()
        if identity is not None:
            # Runs in flight are waited for when it goes to rest; a halt of the machine is in a hurry.
            self._end(identity, drain_s=HURRY_S if self.should_run else DRAIN_WAIT_S)
        stragglers_stop(self.folder)
        self.identity_path.unlink(missing_ok=True)
        if not self.should_run:
            power_note(self.folder, on=False)

    def computed(self) -> dict[str, Any]:
        secrets = {name: value for name in SECRET_VARIABLES if (value := self._secret(name)) is not None}
        since = power_since(self.folder)
        return {**secrets, "url": self.url, **({"since": since} if since is not None else {})}

    def _spawn(self, *, predecessor: ProcessIdentity | None) -> ProcessIdentity:
        python = self.inputs.python
        if python is not None and not os.access(python, os.X_OK):
            raise UnitBroken(
                f"release {self.inputs.version} of the runtime is not installed: {python} is missing. Install it "
                "there, or upgrade the tenant"
            )
        environment = self._environment()
        if predecessor is not None:
            environment["RUNTIME_PREDECESSOR"] = str(predecessor.pid)
        return process_spawn(
            self._argv(), cwd=self.folder, env=environment, log_path=self.log_path, mark=str(self.folder)
        )

    def _identify(self, identity: ProcessIdentity) -> None:
        """Makes this process the unit's."""
        body = {**asdict(identity), "started_with": self._fingerprint()}
        file_write_private(self.identity_path, json.dumps(body))

    def _started_with(self) -> str | None:
        try:
            return str(json.loads(self.identity_path.read_text())["started_with"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _fingerprint(self) -> str:
        """Of all a process is started with, secrets included: they are random, so a digest gives nothing away."""
        secrets = {name: self._secret(name) for name in SECRET_VARIABLES}
        started = json.dumps([self.inputs.plain(), secrets], sort_keys=True)
        return hashlib.sha256(started.encode()).hexdigest()

    def _end(self, identity: ProcessIdentity, *, drain_s: float) -> None:
        """The first SIGTERM lets it drain, the second hurries it, then SIGKILL."""
        if process_alive(identity):
            with suppress(ProcessLookupError):
                os.kill(identity.pid, signal.SIGTERM)
            process_wait_gone(identity, drain_s)
        process_stop(identity, first_signal=signal.SIGTERM, grace_s=STOP_GRACE_S)
        offer_path(self.folder, identity.pid).unlink(missing_ok=True)

    def _strays_end(self, *, keep: ProcessIdentity) -> None:
        """Ends what a killed handover left beside the unit's process."""
        for marked in processes_marked(str(self.folder)):
            if _leads_a_session(marked.pid) and marked.pid != keep.pid:
                self._end(marked, drain_s=DRAIN_WAIT_S)

    def _wait_serving(self, identity: ProcessIdentity) -> None:
        """Both answer on the port: that this very process serves is told by its mark in the folder."""
        deadline = time.monotonic() + READY_WAIT_S
        ready = self.folder / READY_FILE
        while time.monotonic() < deadline and process_alive(identity):
            if ready.exists() and ready.read_text() == str(identity.pid):
                return
            time.sleep(_POLL_S)
        raise UnitNotReady(
            f"a new process of the runtime of tenant {self.inputs.tenant} did not become ready; the old one goes "
            f"on. The log {self.log_path} ends with\n{log_tail(self.log_path)}"
        )

    def _argv(self) -> list[str]:
        # -X accepts unknown names: this one only makes the tenant visible in a process list.
        argv = [
            self.inputs.python or sys.executable,
            "-X",
            f"freehold-unit={self.folder}",
            "-m",
            self.inputs.module,
            "serve",
        ]
        argv += ["--host", LOOPBACK, "--port", str(self.inputs.port)]
        if self.inputs.manifest is not None:
            argv += ["--manifest", self.inputs.manifest]
        if self.inputs.workers != 1:
            argv += ["--workers", str(self.inputs.workers)]
        return argv

    def _environment(self) -> dict[str, str]:
        """All of it: nothing of the provider's own environment (the stack's passphrase!) is passed on."""
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "RUNTIME_TENANT": self.inputs.tenant,
            # It runs in the unit's folder; a name relative to it is short enough for a socket.
            "RUNTIME_STATE_DIR": ".",
            "RUNTIME_REPLICA": self.inputs.replica,
            "MODEL_NAME": self.inputs.model,
            # Empty means none: a tenant must not see a GPU that is another's.
            "CUDA_VISIBLE_DEVICES": ",".join(self.inputs.gpus),
        }
        if self.inputs.usage_url is not None:
            environment["RUNTIME_USAGE_URL"] = self.inputs.usage_url
        if self.inputs.model_base_url is not None:
            environment["MODEL_BASE_URL"] = self.inputs.model_base_url
        for name, variable in SECRET_VARIABLES.items():
            # The runtime wants address and token of the usage ingest together or not at all.
            unused = name == "usage_token" and self.inputs.usage_url is None
            if not unused and (self.secrets_dir / name).exists():
                environment[variable] = str(self.secrets_dir / name)
        return environment

    def _secret(self, name: str) -> str | None:
        try:
            return (self.secrets_dir / name).read_text()
        except FileNotFoundError:
            return None

    def _wait_ready(self, identity: ProcessIdentity) -> None:
        deadline = time.monotonic() + READY_WAIT_S
        answer = "no answer"
        while time.monotonic() < deadline:
            if not process_alive(identity):
                answer = "the process ended"
                break
            answer = _ask_ready(self.inputs.port)
            if answer == "200":
                return
            time.sleep(_POLL_S)
        raise UnitNotReady(
            f"the runtime of tenant {self.inputs.tenant} at {self.url}/ready is not ready: {answer}. "
            f"Its log {self.log_path} ends with\n{log_tail(self.log_path)}"
        )


def offer_path(folder: Path, pid: int) -> Path:
    """Where a process offers its listening socket to a successor."""
    return folder / f"listener.{pid}"


def _leads_a_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _ask_ready(port: int) -> str:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/ready")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
