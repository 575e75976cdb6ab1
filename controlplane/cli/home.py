"""FREEHOLD_HOME: where all state of a checkout lives, its ports and its generated secrets."""

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.cli.errors import CliError
from embedded.ports import free_block, free_port, port_is_free
from embedded.processes import file_write_private

ROOT = Path(__file__).resolve().parent.parent.parent
DEFAULT_PORT = 8420
TENANT_PORTS = 400
#: Below Linux's ephemeral range, so that no outgoing connection takes a tenant's port.
TENANT_PORT_RANGE = (20_000, 32_000)


@dataclass(frozen=True)
class Home:
    """Paths below FREEHOLD_HOME. Folders with secrets or data are 0700, files with secrets 0600."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def tenants(self) -> Path:
        return self.root / "tenants"

    @property
    def up_file(self) -> Path:
        return self.root / "up.json"

    @property
    def state_file(self) -> Path:
        return self.run / "supervisor.json"

    @property
    def identity_file(self) -> Path:
        return self.run / "supervisor.identity.json"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text(encoding="utf-8").strip()


def home_find() -> Home:
    """The home FREEHOLD_HOME names, else the checkout's; an empty value counts as none."""
    return Home(Path(os.environ.get("FREEHOLD_HOME") or ROOT / ".freehold").expanduser().absolute())


def integer_read(name: str, default: int, minimum: int, maximum: int) -> int:
    """A number from the environment; an empty value counts as none. CliError when it is not one in the range."""
    found = os.environ.get(name, "").strip()
    if not found:
        return default
    if not (found.isascii() and found.isdigit() and minimum <= int(found) <= maximum):
        raise CliError(f"{name}: found {found!r}; wanted a whole number from {minimum} to {maximum}.")
    return int(found)


def home_prepare(home: Home) -> None:
    """Makes the folders and every secret that is missing. Never replaces one: data is encrypted with them."""
    for folder in (home.root, home.run, home.secrets, home.logs, home.tenants, home.root / "gpus"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("secret_key", "encryption_keys", "postgres_password", "redis_password", "pulumi_passphrase"):
        path = home.secrets / name
        if not path.exists():
            file_write_private(path, secrets.token_urlsafe(48))
    for name in ("database_password", "pulumi_database_password"):
        path = home.secrets / name
        if not path.exists():
            file_write_private(path, secrets.token_urlsafe(32))


@dataclass(frozen=True)
class Ports:
    """Chosen once and kept: tenants' runtimes and state remember them."""

    web: int
    postgres: int
    redis: int
    tenant_base: int


def ports_kept(home: Home) -> Ports | None:
    """The ports of the last start; None before the first."""
    path = home.run / "ports.json"
    return Ports(**json.loads(path.read_text())) if path.exists() else None


def home_remove(home: Home) -> bool:
    """Removes all state; whether there was any. CliError when the folder is not a Freehold home."""
    if not home.root.exists():
        return False
    home_require(home)
    try:
        shutil.rmtree(home.root.resolve())
    except OSError as error:
        raise CliError(f"{home.root} could not be removed whole: {error}") from error
    return True


def home_require(home: Home) -> None:
    """CliError unless the folder is a Freehold home by what is in it. An `up` that failed early left no ports yet."""
    made = (home.run / "ports.json").is_file() or (home.secrets / "pulumi_passphrase").is_file()
    if not (made and home.run.is_dir() and home.secrets.is_dir()) or ROOT.is_relative_to(home.root.resolve()):
        raise CliError(
            f"{home.root} is not a Freehold home (no run/ports.json and secrets/ in it); nothing is removed.",
            hint="FREEHOLD_HOME names the folder. Remove it by hand if it is meant.",
        )


def ports_choose(home: Home, *, running: bool) -> Ports:
    """The kept ports, or free ones. FREEHOLD_PORT decides the web port. CliError when a wanted port is taken.

    While Freehold runs the ports are as they are: nothing is written, and another wish is refused."""
    path = home.run / "ports.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    wanted = integer_read("FREEHOLD_PORT", 0, 1024, 65535)
    wanted_base = integer_read("FREEHOLD_TENANT_PORT_BASE", 0, 1024, 65_000)
    if running:
        return _ports_running(Ports(**kept), wanted)
    web = wanted or kept.get("web")
    if web is None:
        web = DEFAULT_PORT if port_is_free(DEFAULT_PORT) else free_port()
    elif not port_is_free(web):
        raise CliError(
            f"Port {web} is taken by another program.",
            hint="End that program, or choose another port: FREEHOLD_PORT=8500 make up",
        )
    ports = Ports(
        web=web,
        postgres=kept.get("postgres") or free_port(),
        redis=kept.get("redis") or free_port(),
        tenant_base=wanted_base or kept.get("tenant_base") or free_block(*TENANT_PORT_RANGE, TENANT_PORTS),
    )
    ports = _without_collisions(ports)
    file_write_private(path, json.dumps(ports.__dict__))
    return ports


def _ports_running(ports: Ports, wanted: int) -> Ports:
    if wanted and wanted != ports.web:
        raise CliError(
            f"Freehold runs on port {ports.web} already; FREEHOLD_PORT asks for {wanted}.",
            hint="`make down` first, then `make up` with the other port.",
        )
    return ports


def _without_collisions(ports: Ports) -> Ports:
    """Another program may have taken an embedded server's port while everything was down; those may move."""
    from dataclasses import replace

    if not port_is_free(ports.postgres):
        ports = replace(ports, postgres=free_port())
    if not port_is_free(ports.redis):
        ports = replace(ports, redis=free_port())
    return ports
