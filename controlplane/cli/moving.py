"""Tenants follow the control plane to another port: their runtimes report usage to the address in their spec."""

from typing import Any

from controlplane.cli.client import Api, operation_wait, segment
from controlplane.cli.errors import CliError
from controlplane.cli.home import Home
from controlplane.cli.output import say
from embedded.processes import file_write_private

REASON = "the control plane moved to another port"
UPDATE_DEADLINE_S = 240.0


def tenants_follow_port(api: Api, home: Home, port: int) -> None:
    """Updates every active local tenant when the web port differs from the one their specs were made with.

    A tenant that cannot follow does not stop the others; the port is noted once all of them did."""
    path = home.run / "served-port"
    if path.exists() and path.read_text().strip() == str(port):
        return
    rows = list(api.pages("tenants", limit=200))
    slugs = [str(row["slug"]) for row in rows if row["target"] == "local" and row["lifecycle"] == "active"]
    if slugs:
        say(f"      the control plane is at port {port} now; updating {', '.join(slugs)}")
    queued: list[tuple[str, dict[str, Any]]] = []
    complete = True
    for slug in slugs:
        try:
            answer = api.post(f"tenants/{segment(slug)}/update", {"reason": REASON})
            queued.append((slug, answer["operation"]))
        except CliError as error:
            complete = False
            _refused(slug, error.message)
    for slug, operation in queued:
        try:
            ended = operation_wait(api, operation["id"], timeout_s=UPDATE_DEADLINE_S)
        except CliError as error:
            complete = False
            _refused(slug, error.message)
            continue
        if ended["state"] != "succeeded":
            complete = False
            _refused(slug, (ended["error"] or {}).get("title", ended["state"]))
    if complete:
        file_write_private(path, f"{port}\n")


def _refused(slug: str, why: str) -> None:
    say(f"      {slug} was not updated: {why}")
    say(f"      Until it is, its usage does not arrive: freehold tenants update {slug}")
