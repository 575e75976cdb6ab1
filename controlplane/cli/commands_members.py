"""`freehold members list|invite|resend|change|remove` and `freehold keys rotate`."""

from typing import Annotated, Any

import typer

from controlplane.cli.client import Api, api_connect, segment
from controlplane.cli.errors import CliError
from controlplane.cli.options import JsonFlag
from controlplane.cli.output import data_console, print_json, print_table, say

app = typer.Typer(no_args_is_help=True)

RoleOption = Annotated[str, typer.Option("--role", help="owner, admin, operator, finance or viewer")]
TenantsOption = Annotated[
    list[str] | None, typer.Option("--tenant", help="Only for this one; may be repeated. Without it, for all")
]


def commands_add(keys: typer.Typer) -> None:
    keys.command("rotate")(keys_rotate)


@app.command("list")
def members_list(json_output: JsonFlag = False) -> None:
    """Who is on the team, and who was invited."""
    api = api_connect()
    people, invited = list(api.pages("members", limit=200)), list(api.pages("invitations", limit=200))
    if json_output:
        print_json({"members": people, "invitations": invited})
        return
    cells = [(p["email"], p["role"], _limit(p), (p["last_login_at"] or "never")[:19]) for p in people]
    cells += [(i["email"], i["role"], _limit(i), f"invited until {i['expires_at'][:10]}") for i in invited]
    print_table(("e-mail", "role", "tenants", "last sign-in"), cells)


@app.command()
def invite(
    email: str,
    role: RoleOption = "viewer",
    tenant: TenantsOption = None,
    days: Annotated[int, typer.Option(help="So long the link works, at most 30")] = 7,
    json_output: JsonFlag = False,
) -> None:
    """Make a link that lets somebody in once."""
    body = {"email": email, "role": role, "tenants": tenant or None, "expires_in_days": days}
    made = api_connect().post("invitations", body)
    _link_show(made, json_output)


@app.command()
def resend(email: str, json_output: JsonFlag = False) -> None:
    """Give an open invitation a fresh link; the one before lets nobody in any more."""
    api = api_connect()
    wanted = email.strip().lower()
    found = next((row for row in api.pages("invitations", limit=200) if row["email"] == wanted), None)
    if found is None:
        raise CliError(
            f"No invitation for {email} is open.", hint=f"Invite them: freehold members invite {email}"
        )
    _link_show(api.post(f"invitations/{segment(found['id'])}/resend"), json_output)


@app.command()
def change(email: str, role: RoleOption, tenant: TenantsOption = None, json_output: JsonFlag = False) -> None:
    """Give somebody another role, and the tenants it is for."""
    api = api_connect()
    body = {"role": role, "tenants": tenant or None}
    changed = api.call("PATCH", f"members/{_find(api, email)}", body=body)
    if json_output:
        print_json(changed)
    else:
        say(f"{changed['email']} is {changed['role']} from the next request on.")


@app.command()
def remove(email: str, json_output: JsonFlag = False) -> None:
    """Take somebody off the team, with the API keys that they made."""
    api = api_connect()
    api.call("DELETE", f"members/{_find(api, email)}")
    if json_output:
        print_json({"email": email, "removed": True})
    else:
        say(f"{email} is off the team.")


def keys_rotate(
    key_id: str,
    overlap_hours: Annotated[int, typer.Option(help="So long the old key stays valid; 0: not at all")] = 24,
    json_output: JsonFlag = False,
) -> None:
    """Replace a key by one of the same scopes; the new secret is shown once."""
    made = api_connect().post(f"api-keys/{segment(key_id)}/rotate", {"overlap_hours": overlap_hours})
    if json_output:
        print_json(made)
    else:
        data_console.print(made["api_key"], markup=False)
        say(f"The key is shown once; keep it safe. The old one ends in {overlap_hours} h at the latest.")


def _link_show(made: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(made)
    else:
        data_console.print(made["url"], markup=False, soft_wrap=True)
        say(f"Send it to {made['email']}. It is shown once, and lets in whoever opens it first.")


def _find(api: Api, email: str) -> str:
    for person in api.pages("members", limit=200):
        if person["email"] == email.strip().lower():
            return segment(person["user_id"])
    raise CliError(f"Nobody of the team is {email}.", hint="freehold members list")


def _limit(row: dict[str, Any]) -> str:
    return "all" if row["tenant_ids"] is None else str(len(row["tenant_ids"]))
