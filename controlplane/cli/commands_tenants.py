"""`freehold tenants ...`."""

from typing import Annotated, Any

import typer

from controlplane.cli.client import api_connect, segment
from controlplane.cli.commands_operations import DEFAULT_TIMEOUT_S, finish
from controlplane.cli.dry_run import dry_run
from controlplane.cli.operating import confirm_demand, operate
from controlplane.cli.options import ApprovalFlag, JsonFlag, ReasonOption, TimeoutOption, WaitFlag
from controlplane.cli.output import data_console, print_json, print_table, say

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    q: Annotated[str | None, typer.Option("--search", help="Part of a slug or name")] = None,
    lifecycle: Annotated[str | None, typer.Option(help="Only those in this lifecycle")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Tenants you can see."""
    rows = list(api_connect().pages("tenants", q=q, lifecycle=lifecycle, limit=200))
    if json_output:
        print_json(rows)
        return
    print_table(
        ("slug", "name", "plan", "target", "lifecycle", "health", "runtime"),
        [
            (r["slug"], r["name"], r["plan"], r["target"], r["lifecycle"], r["health"], r["runtime_url"])
            for r in rows
        ],
    )
    if not rows:
        say("No tenants yet. Create one: freehold tenants create acme --plan starter --target local")


@app.command()
def create(
    slug: str,
    plan: Annotated[str, typer.Option(help="starter, pro or enterprise")] = "starter",
    target: Annotated[str, typer.Option(help="Where its stack lives")] = "local",
    region: Annotated[str | None, typer.Option(help="Of the target; its usual one if not given")] = None,
    name: Annotated[str | None, typer.Option(help="The customer's name; the slug if not given")] = None,
    label: Annotated[list[str] | None, typer.Option(help="key=value, may be repeated")] = None,
    requires_approval: Annotated[bool, typer.Option(help="Stop after the plan for a person")] = False,
    restore_from: Annotated[
        str | None, typer.Option(help="A snapshot whose data it gets once it is active")
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, its cost and what the policy says; make nothing")
    ] = False,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Provision a tenant with a stack of its own."""
    labels = {key: value for key, _, value in (pair.partition("=") for pair in label or [])}
    body = {"slug": slug, "name": name or slug, "plan": plan, "target": target, "labels": labels}
    if region:
        body["region"] = region
    if plan_only:
        dry_run(api_connect(), body, timeout_s=timeout, as_json=json_output)
        return
    if restore_from:
        body["restore_from"] = restore_from
    api = api_connect()
    created = api.post("tenants", {**body, "requires_approval": requires_approval})
    finish(api, created["operation"], wait=wait, timeout_s=timeout, as_json=json_output)


@app.command()
def show(slug: str, json_output: JsonFlag = False) -> None:
    """One tenant."""
    tenant = api_connect().get(f"tenants/{segment(slug)}")
    if json_output:
        print_json(tenant)
        return
    rows = [
        (key, value if not isinstance(value, dict) else ", ".join(f"{k}={v}" for k, v in value.items()))
        for key, value in tenant.items()
    ]
    print_table(("field", "value"), rows)


@app.command()
def export(slug: str) -> None:
    """A tenant's stack without its secrets, for `freehold preview --program checkout --states FOLDER`."""
    print_json(api_connect().get(f"tenants/{segment(slug)}/stack/export"))


@app.command()
def update(
    slug: str,
    plan: Annotated[str | None, typer.Option(help="Change to this plan")] = None,
    runtime_version: Annotated[str | None, typer.Option(help="Change to this release of the runtime")] = None,
    name: Annotated[str | None, typer.Option(help="Change the customer's name")] = None,
    deletion_protection: Annotated[
        bool | None, typer.Option(help="Protect against deletion, or lift it")
    ] = None,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Change a tenant; without options, bring its stack back to what it should be."""
    api = api_connect()
    given = {
        "plan": plan,
        "runtime_version": runtime_version,
        "name": name,
        "deletion_protection": deletion_protection,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    answer = (
        api.call("PATCH", f"tenants/{segment(slug)}", body=changes)
        if changes
        else api.post(f"tenants/{segment(slug)}/update")
    )
    if "operation" in answer:
        finish(api, answer["operation"], wait=wait, timeout_s=timeout, as_json=json_output)
    elif json_output:
        print_json(answer)
    else:
        say(f"{slug} updated.")


@app.command()
def suspend(
    slug: str,
    reason: ReasonOption = "",
    requires_approval: ApprovalFlag = False,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """End the runtime and give back the GPUs; databases and data stay."""
    body = {"reason": reason, "requires_approval": requires_approval}
    operate(slug, "suspend", body, wait=wait, timeout_s=timeout, as_json=json_output)


@app.command()
def resume(
    slug: str,
    reason: ReasonOption = "",
    requires_approval: ApprovalFlag = False,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Bring a suspended tenant's runtime and GPUs back, with the data as it was."""
    body = {"reason": reason, "requires_approval": requires_approval}
    operate(slug, "resume", body, wait=wait, timeout_s=timeout, as_json=json_output)


@app.command("rotate-credentials")
def rotate_credentials(
    slug: str,
    reason: ReasonOption = "",
    requires_approval: ApprovalFlag = False,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Renew passwords, admin key and usage token without downtime; the old ones end."""
    body = {"reason": reason, "requires_approval": requires_approval}
    operate(slug, "rotate-credentials", body, wait=wait, timeout_s=timeout, as_json=json_output)


@app.command()
def upgrade(
    slug: str,
    version: Annotated[
        str | None, typer.Option(help="To this release of the runtime; without it, to the one shipped")
    ] = None,
    reason: ReasonOption = "",
    requires_approval: ApprovalFlag = False,
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Move a tenant's runtime to another release, without downtime."""
    body: dict[str, Any] = {"reason": reason, "requires_approval": requires_approval}
    body |= {"version": version} if version else {}
    operate(slug, "upgrade", body, wait=wait, timeout_s=timeout, as_json=json_output)


@app.command()
def delete(
    slug: str,
    confirm: Annotated[
        str, typer.Option("--confirm", help="The slug again: everything of the tenant is destroyed")
    ] = "",
    skip_final_snapshot: Annotated[
        bool, typer.Option("--skip-final-snapshot", help="Keep nothing; not every plan allows it")
    ] = False,
    reason: ReasonOption = "",
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Destroy a tenant's stack and data, after a final snapshot that was tried."""
    confirm_demand(slug, confirm, verb="delete", what=f"This destroys everything of {slug}.")
    api = api_connect()
    sent: dict[str, Any] = {"reason": reason} if reason else {}
    if skip_final_snapshot:
        sent["skip_final_snapshot"] = True
    answer = api.call("DELETE", f"tenants/{segment(slug)}", body=sent or None)
    finish(api, answer["operation"], wait=wait, timeout_s=timeout, as_json=json_output)


@app.command()
def outputs(slug: str, json_output: JsonFlag = False) -> None:
    """What the stack exports; of secrets only the names."""
    body: dict[str, Any] = api_connect().get(f"tenants/{segment(slug)}/outputs")
    if json_output:
        print_json(body)
        return
    print_table(
        ("component", "kind", "summary"), [(c["name"], c["kind"], c["summary"]) for c in body["components"]]
    )
    data_console.print(f"runtime {body['runtime_url']}; secrets: {', '.join(body['secrets'])}", markup=False)


@app.command()
def health(slug: str, json_output: JsonFlag = False) -> None:
    """Each component as it was last seen, and which of them made the tenant what it is."""
    body: dict[str, Any] = api_connect().get(f"tenants/{segment(slug)}/health")
    if json_output:
        print_json(body)
        return
    columns = ("component", "health", "since", "checked", "ms", "up 30d", "detail")
    rows = [
        (
            row["name"],
            row["health"],
            row["since"][:19],
            (row["checked_at"] or "")[:19],
            row["latency_ms"],
            row["uptime_30d"],
            row["detail"],
        )
        for row in body["components"]
    ]
    print_table(columns, [tuple("" if cell is None else cell for cell in row) for row in rows])
    data_console.print(f"{slug} is {body['health']}: {body['explanation']}", markup=False)


@app.command()
def credentials(
    slug: str,
    name: str = "freehold tenants credentials",
    role: Annotated[
        str,
        typer.Option(help="What it may do: user runs agents on its own threads, operator sees everybody's"),
    ] = "operator",
    json_output: JsonFlag = False,
) -> None:
    """Issue a fresh runtime key, shown once; in the role of an operator, developer, user, auditor or admin."""
    body = api_connect().post(f"tenants/{segment(slug)}/credentials", {"name": name, "role": role})
    if json_output:
        print_json(body)
    else:
        data_console.print(f"{body['runtime_url']}\n{body['api_key']}", markup=False)
        say("The key is shown once; keep it safe.")


@app.command()
def token(
    slug: str,
    role: Annotated[
        str | None, typer.Option(help="admin, operator, developer, user or auditor; yours if not given")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="For this user of the tenant, and not for yourself")
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Sign a token for a tenant's runtime, good for 15 minutes."""
    asked = {name: value for name, value in (("role", role), ("user", user)) if value is not None}
    body = api_connect().post(f"tenants/{segment(slug)}/tokens", asked)
    if json_output:
        print_json(body)
    else:
        data_console.print(f"{body['runtime_url']}\n{body['token']}", markup=False)
        say(f"For {body['user']} as {body['role']}, until {body['expires_at']}.")


@app.command("webhook-secret")
def webhook_secret(slug: str, json_output: JsonFlag = False) -> None:
    """Show what a tenant's runtime signs its webhooks with."""
    body = api_connect().post(f"tenants/{segment(slug)}/webhook-secret", {})
    if json_output:
        print_json(body)
    else:
        for secret in body["secrets"]:
            data_console.print(secret, markup=False)
        say("The first is the newest; messages are signed with each.")


@app.command()
def refresh(
    slug: str,
    reason: ReasonOption = "",
    wait: WaitFlag = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    json_output: JsonFlag = False,
) -> None:
    """Look at what really exists and note it in the stack's state."""
    operate(slug, "refresh", {"reason": reason}, wait=wait, timeout_s=timeout, as_json=json_output)
