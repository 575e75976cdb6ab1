"""`freehold tenants snapshot|snapshots|restore`."""

from typing import Annotated, Any

import typer

from controlplane.cli.client import api_connect, segment
from controlplane.cli.commands_operations import DEFAULT_TIMEOUT_S
from controlplane.cli.operating import confirm_demand, operate
from controlplane.cli.options import JsonFlag, ReasonOption, TimeoutOption, WaitFlag
from controlplane.cli.output import print_json, print_table, say


def snapshot(
    slug: str,
    reason: ReasonOption = "",
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Take a snapshot of a tenant's data; the tenant goes on running."""
    operate(slug, "snapshot", {"reason": reason}, wait=wait, timeout_s=timeout, as_json=json_output)


def snapshots(
    slug: str,
    delete: Annotated[str | None, typer.Option(help="Delete this snapshot instead")] = None,
    json_output: JsonFlag = False,
) -> None:
    """A tenant's snapshots, newest first; of a deleted tenant too."""
    api, path = api_connect(), f"tenants/{segment(slug)}/snapshots"
    if delete is not None:
        gone = api.call("DELETE", f"{path}/{segment(delete)}")
        if json_output:
            print_json(gone)
        else:
            say(f"Snapshot {gone['id']} is {gone['state']}.")
        return
    rows = list(api.pages(path, limit=200))
    if json_output:
        print_json(rows)
        return
    print_table(
        ("id", "kind", "state", "size", "taken", "kept until"),
        [(r["id"], r["kind"], r["state"], _size(r), r["created_at"], r["expires_at"]) for r in rows],
    )
    if not rows:
        say(f"No snapshots yet. Take one: freehold tenants snapshot {slug}")


def restore(
    slug: str,
    snapshot_id: Annotated[
        str | None, typer.Option("--snapshot", help="Of any tenant you see; the newest one if not given")
    ] = None,
    confirm: Annotated[
        str, typer.Option("--confirm", help="The slug again: what the tenant holds now is replaced")
    ] = "",
    requires_approval: Annotated[bool, typer.Option(help="Stop for a person in any case")] = False,
    reason: ReasonOption = "",
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Replace a tenant's data by a snapshot's."""
    confirm_demand(slug, confirm, verb="restore", what=f"This replaces everything {slug} holds.")
    body: dict[str, Any] = {"reason": reason, "requires_approval": requires_approval}
    if snapshot_id is not None:
        body["snapshot_id"] = snapshot_id
    operate(slug, "restore", body, wait=wait, timeout_s=timeout, as_json=json_output)


def _size(row: dict[str, Any]) -> str:
    return f"{row['size_bytes'] / 1e6:.1f} MB" if row["size_bytes"] else "-"


def commands_add(tenants: typer.Typer) -> None:
    """Puts these commands beside the others on tenants."""
    for command in (snapshot, snapshots, restore):
        tenants.command()(command)
