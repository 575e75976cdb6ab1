"""The tenant's agent runtime as a process of this machine."""

import http.client
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.errors import log_tail
from embedded.ports import LOOPBACK, port_demand
from embedded.processes import (
    ProcessIdentity,
    file_write_private,
    identity_read,
    identity_write,
    process_alive,
    process_spawn,
    process_stop,
    processes_marked,
)
from stacks.errors import UnitNotReady
from stacks.providers.local.inputs import RuntimeInputs
from stacks.providers.local.power import power_note, power_since
from stacks.providers.local.unitfile import stragglers_stop
from stacks.providers.local.units import READY_WAIT_S, STOP_GRACE_S, Unit

#: Secret input -> the variable that names its file.
SECRET_VARIABLES = {
    "database_url": "RUNTIME_DATABASE_URL_FILE",
    "redis_url": "RUNTIME_REDIS_URL_FILE",
    "vector_url": "RUNTIME_VECTOR_URL_FILE",
    "admin_key": "RUNTIME_ADMIN_KEY_FILE",
    "usage_token": "RUNTIME_USAGE_TOKEN_FILE",
    "model_api_key": "MODEL_API_KEY_FILE",
}

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
            stragglers_stop(self.folder)
            port_demand(self.inputs.port, f"the runtime of tenant {self.inputs.tenant}")
            identity = process_spawn(
                self._argv(),
                cwd=self.folder,
                env=self._environment(),
                log_path=self.log_path,
                mark=str(self.folder),
            )
            identity_write(self.identity_path, identity)
        self._wait_ready(identity)
        power_note(self.folder, on=True)

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
            process_stop(identity, first_signal=signal.SIGTERM, grace_s=STOP_GRACE_S)
        stragglers_stop(self.folder)
        self.identity_path.unlink(missing_ok=True)
        if not self.should_run:
            power_note(self.folder, on=False)

    def computed(self) -> dict[str, Any]:
        secrets = {name: value for name in SECRET_VARIABLES if (value := self._secret(name)) is not None}
        since = power_since(self.folder)
        return {**secrets, "url": self.url, **({"since": since} if since is not None else {})}

    def _argv(self) -> list[str]:
        # -X accepts unknown names: this one only makes the tenant visible in a process list.
        argv = [sys.executable, "-X", f"freehold-unit={self.folder}", "-m", self.inputs.module, "serve"]
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
