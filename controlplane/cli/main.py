"""`freehold`: every verb of contract.md section 2 that exists so far."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from controlplane.cli import (
    commands_budgets,
    commands_invoices,
    commands_ledger,
    commands_members,
    commands_operations,
    commands_snapshots,
    commands_tenants,
    commands_usage,
)
from controlplane.cli.client import Api, Credentials, api_root, config_path
from controlplane.cli.errors import CliError, UsageFailure
from controlplane.cli.home import home_find
from controlplane.cli.options import JsonFlag
from controlplane.cli.output import narration, print_json, print_table, say
from embedded.errors import EmbeddedError
from embedded.processes import file_write_private


class PreviewFormat(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


class PreviewProgram(StrEnum):
    INSTALLED = "installed"
    CHECKOUT = "checkout"


app = typer.Typer(
    name="freehold",
    help="The control plane for AI agents with dedicated infrastructure per customer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands_snapshots.commands_add(commands_tenants.app)
app.add_typer(commands_tenants.app, name="tenants", help="Tenants and their stacks.")
app.add_typer(
    commands_operations.app, name="operations", help="Changes to stacks: watch, approve, cancel, retry."
)
app.add_typer(commands_usage.usage, name="usage", help="What a tenant used.")
app.add_typer(commands_budgets.budgets, name="budgets", help="How much may be spent, and what happens then.")
app.add_typer(commands_budgets.reports, name="reports", help="Reports for people without a login.")
app.add_typer(commands_ledger.credits, name="credits", help="Credits of a tenant.")
app.add_typer(commands_ledger.costs, name="costs", help="What tenants cost, and the provider's bill.")
app.command()(commands_ledger.margin)
app.add_typer(commands_invoices.app, name="invoices", help="What a tenant owes.")
app.add_typer(commands_usage.runs, name="runs", help="Run a tenant's agents.")
app.add_typer(commands_usage.documents, name="documents", help="A tenant's long-term memory.")
app.add_typer(commands_members.app, name="members", help="Who is on your team.")
commands_members.commands_add(commands_usage.keys)
app.add_typer(commands_usage.keys, name="keys", help="API keys of your team.")
app.add_typer(commands_usage.audit, name="audit", help="The audit trail.")


@app.command()
def up(json_output: JsonFlag = False) -> None:
    """Start everything, provision the tenant acme, run an agent in it, show what it cost. Idempotent."""
    import json

    from controlplane.cli.up import Up, summary_print

    home = home_find()
    outcome = Up(home).run()
    if json_output:
        print_json(json.loads(home.up_file.read_text()))
    else:
        summary_print(outcome, home)


@app.command()
def down(
    remove_data: Annotated[
        bool, typer.Option("--remove-data", help="Then remove all state: databases, secrets, tenants' data")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Stop everything that `up` started, tenants' processes too. Data stays, unless --remove-data."""
    from controlplane.cli.home import home_remove, home_require
    from controlplane.cli.lifecycle import everything_stop

    home = home_find()
    if remove_data and home.root.exists():
        home_require(home)
    stopped = everything_stop(home)
    removed = remove_data and home_remove(home)
    if json_output:
        print_json({"stopped": stopped, "removed": removed})
        return
    say(f"Stopped {len(stopped)} processes: {', '.join(stopped)}." if stopped else "Nothing was running.")
    if removed:
        say(f"Removed {home.root}.")


@app.command()
def preview(
    tenant: Annotated[list[str] | None, typer.Option(help="The tenant to plan for; may be repeated")] = None,
    all_tenants: Annotated[bool, typer.Option("--all", help="Every tenant that has a stack")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Every tenant, but show only those that would change")
    ] = False,
    format: Annotated[PreviewFormat, typer.Option(help="How to show the plans")] = PreviewFormat.TEXT,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code", help="Exit 5 when policy denies, or something would be replaced or deleted"
        ),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A resource, or a pattern such as cache-*, whose replacement or deletion is approved"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the complete plans and the comment, as artifacts")
    ] = None,
    commit: Annotated[str, typer.Option(help="Named in the comment")] = "",
    program: Annotated[
        PreviewProgram,
        typer.Option(
            help="Whose stack program plans: the control plane's release, or the checked-out commit's"
        ),
    ] = PreviewProgram.INSTALLED,
    checkout: Annotated[
        Path,
        typer.Option(help="With --program checkout: where the commit is checked out", show_default=False),
    ] = Path(),
    states: Annotated[
        Path | None,
        typer.Option(help="With --program checkout: a folder of SLUG.json by `freehold tenants export`"),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for a plan")] = 900.0,
    json_output: JsonFlag = False,
) -> None:
    """What the stack program would change for tenants as they are now. Changes nothing."""
    from controlplane.cli.commands_preview import Planner, previews_run
    from controlplane.cli.previews.checkout import Checkout

    if bool(tenant) + all_tenants + changed != 1:
        raise UsageFailure("Say for whom: --tenant SLUG, --all, or --changed.")
    by_checkout = program is PreviewProgram.CHECKOUT
    if states is not None and not by_checkout:
        raise UsageFailure("--states belongs to --program checkout.")
    previews_run(
        tenant,
        planner=Planner(Checkout(checkout.absolute()) if by_checkout else None, states),
        changed_only=changed,
        format="json" if json_output else format.value,
        exit_code=exit_code,
        allow=tuple(allow or ()),
        out=out,
        commit=commit,
        timeout_s=timeout_s,
    )


@app.command()
def status(json_output: JsonFlag = False) -> None:
    """What runs on this machine."""
    from controlplane.cli.status import processes

    rows = processes(home_find())
    if json_output:
        print_json({"processes": rows})
    else:
        print_table(("process", "pid", "state"), [(row["name"], row["pid"], row["state"]) for row in rows])


@app.command()
def doctor(json_output: JsonFlag = False) -> None:
    """Check the machine, the tools and the configuration."""
    from controlplane.cli.doctor import checks

    found = checks(home_find())
    if json_output:
        print_json({"checks": [check.to_json() for check in found]})
    else:
        rows = [
            ("ok" if c.ok else "FAIL", c.name, c.detail if c.ok else f"{c.detail}\n{c.try_}") for c in found
        ]
        print_table(("", "check", "detail"), rows)
    if not all(check.ok for check in found):
        raise typer.Exit(1)


@app.command()
def login(
    url: Annotated[str, typer.Option(help="The control plane, such as https://freehold.example.com")],
    key_file: Annotated[
        Path | None, typer.Option(help="A file with the API key; else it is read from standard input")
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Keep an API's address and key for later commands, in a file of mode 0600."""
    import getpass
    import json

    if key_file is not None:
        key = key_file.read_text(encoding="utf-8").strip()
    elif sys.stdin.isatty():
        key = getpass.getpass("API key: ").strip()
    else:
        key = sys.stdin.readline().strip()
    if not key:
        raise UsageFailure("No API key was given.", hint="Pipe it in, or name a file with --key-file.")
    Api(Credentials(api_root(url), key)).get("tenants", limit=1)
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file_write_private(path, json.dumps({"api_url": api_root(url), "api_key": key}))
    if json_output:
        print_json({"api_url": api_root(url), "kept_in": str(path)})
    else:
        say(f"Kept in {path}.")


def run() -> None:
    """The console script: errors become a sentence (or JSON under --json) and their exit code."""
    os.umask(0o077)
    as_json = "--json" in sys.argv
    try:
        # Under --json, what is wrong with the command line comes to us instead of being drawn in a frame.
        sys.exit(app(standalone_mode=not as_json))
    except typer.Abort:
        sys.exit(1)
    except CliError as error:
        _report(error.message, error.hint, error.to_json())
        sys.exit(error.exit_code)
    except EmbeddedError as error:
        _report(str(error), "", {"error": str(error), "exit_code": 1})
        sys.exit(1)
    except TyperException as error:
        message = str(error)
        hint = "`freehold --help` lists the commands, and each of them has --help."
        _report(message, hint, {"error": message, "hint": hint, "exit_code": 2})
        sys.exit(2)
    except KeyboardInterrupt:
        narration.print("Stopped here; what was begun goes on. `freehold operations list` shows it.")
        sys.exit(130)


def _report(message: str, hint: str, body: dict[str, Any]) -> None:
    if "--json" in sys.argv:
        import json

        sys.stderr.write(json.dumps(body) + "\n")
        return
    narration.print(f"Error: {message}", markup=False, style="red")
    if hint:
        narration.print(hint, markup=False)


if __name__ == "__main__":
    run()
