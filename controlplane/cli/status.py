"""`freehold status`: the services and every tenant's processes."""

from typing import Any

from controlplane.cli.home import Home
from controlplane.cli.lifecycle import supervisor_alive, supervisor_state, tenants_host
from controlplane.cli.services import SERVICE_NAMES


def processes(home: Home) -> list[dict[str, Any]]:
    """[{name, pid, state}]; a tenant's process is named `<slug>/<part>`."""
    alive = supervisor_alive(home) is not None
    known = {row["name"]: row for row in supervisor_state(home).get("processes", [])} if alive else {}
    rows = [
        {
            "name": name,
            "pid": known.get(name, {}).get("pid"),
            "state": known.get(name, {}).get("state", "stopped"),
        }
        for name in SERVICE_NAMES
    ]
    if home.tenants.exists():
        for unit in tenants_host(home, "list"):
            rows.append(
                {"name": f"{unit['tenant']}/{unit['name']}", "pid": unit["pid"], "state": unit["state"]}
            )
    return rows
