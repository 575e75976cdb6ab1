"""`freehold status`: the services and every tenant's processes."""

from typing import Any

from controlplane.cli import services
from controlplane.cli.home import Home, ports_kept
from controlplane.cli.lifecycle import supervisor_alive, supervisor_state, tenants_host
from embedded.postgres import postgres_running
from embedded.processes import ProcessIdentity, identity_read, process_alive, processes_marked
from embedded.redis import redis_running


def processes(home: Home) -> list[dict[str, Any]]:
    """[{name, pid, state}]; a tenant's process is named `<slug>/<part>`."""
    if supervisor_alive(home) is not None:
        known = {row["name"]: row for row in supervisor_state(home).get("processes", [])}
        rows = [
            {
                "name": name,
                "pid": known.get(name, {}).get("pid"),
                "state": known.get(name, {}).get("state", "stopped"),
            }
            for name in services.SERVICE_NAMES
        ]
    else:
        rows = _without_supervisor(home)
    if home.tenants.exists():
        for unit in tenants_host(home, "list"):
            rows.append(
                {"name": f"{unit['tenant']}/{unit['name']}", "pid": unit["pid"], "state": unit["state"]}
            )
    return rows


def _without_supervisor(home: Home) -> list[dict[str, Any]]:
    """Services outlive a supervisor that was killed: what of them is there, by identity file or by mark."""
    rows: list[dict[str, Any]] = []
    for name in services.SERVICE_NAMES:
        found = _service_find(home, name)
        rows.append(
            {"name": name, "pid": found.pid if found else None, "state": "running" if found else "stopped"}
        )
    return rows


def _service_find(home: Home, name: str) -> ProcessIdentity | None:
    ports = ports_kept(home)
    if ports is None:
        return None
    if name == "postgres":
        server = services.postgres_server(home, ports)
        return postgres_running(server) if server.data_dir.exists() else None
    if name == "redis":
        return redis_running(services.redis_server(home, ports))
    recorded = identity_read(services.service_identity_path(home, name))
    if recorded is not None and process_alive(recorded):
        return recorded
    return next(iter(processes_marked(services.service_mark(home, name))), None)
