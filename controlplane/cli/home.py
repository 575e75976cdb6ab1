"""FREEHOLD_HOME: where all state of a checkout lives, its ports and its generated secrets."""

import json
import os
import secrets
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
    return Home(Path(os.environ.get("FREEHOLD_HOME", ROOT / ".freehold")).expanduser().absolute())


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


def ports_choose(home: Home, *, running: bool) -> Ports:
    """The kept ports, or free ones. FREEHOLD_PORT decides the web port. CliError when a wanted port is taken."""
    path = home.run / "ports.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    wanted = os.environ.get("FREEHOLD_PORT")
    if wanted is not None and not (wanted.isdigit() and 1024 <= int(wanted) <= 65535):
        raise CliError(f"FREEHOLD_PORT: found {wanted!r}; wanted a port from 1024 to 65535.")
    web = int(wanted) if wanted else kept.get("web")
    if web is None:
        web = DEFAULT_PORT if port_is_free(DEFAULT_PORT) else free_port()
    elif not running and not port_is_free(web):
        raise CliError(
            f"Port {web} is taken by another program.",
            hint="End that program, or choose another port: FREEHOLD_PORT=8500 make up",
        )
    tenant_base = int(os.environ.get("FREEHOLD_TENANT_PORT_BASE") or kept.get("tenant_base") or 0)
    ports = Ports(
        web=web,
        postgres=kept.get("postgres") or free_port(),
        redis=kept.get("redis") or free_port(),
        tenant_base=tenant_base or free_block(*TENANT_PORT_RANGE, TENANT_PORTS),
    )
    if not running:
        ports = _without_collisions(ports)
    file_write_private(path, json.dumps(ports.__dict__))
    return ports


def _without_collisions(ports: Ports) -> Ports:
    """Another program may have taken an embedded server's port while everything was down; those may move."""
    from dataclasses import replace

    if not port_is_free(ports.postgres):
        ports = replace(ports, postgres=free_port())
    if not port_is_free(ports.redis):
        ports = replace(ports, redis=free_port())
    return ports
