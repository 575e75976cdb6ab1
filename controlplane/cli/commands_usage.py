"""`freehold usage | runs | documents | keys | audit ...`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli import runtime as runtimes
from controlplane.cli.client import api_connect, segment
from controlplane.cli.errors import UsageFailure
from controlplane.cli.home import home_find
from controlplane.cli.options import JsonFlag
from controlplane.cli.output import data_console, print_json, print_table, say

usage = typer.Typer(no_args_is_help=True)
runs = typer.Typer(no_args_is_help=True)
documents = typer.Typer(no_args_is_help=True)
keys = typer.Typer(no_args_is_help=True)
audit = typer.Typer(no_args_is_help=True)


class ReportFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PDF = "pdf"


@usage.command()
def report(
    slug: Annotated[str | None, typer.Argument(help="The tenant; or --all")] = None,
    all_tenants: Annotated[bool, typer.Option("--all", help="Every tenant that you see")] = False,
    period: Annotated[str | None, typer.Option(help="YYYY-MM; this month if not given")] = None,
    format: Annotated[
        ReportFormat, typer.Option(help="pdf and csv go to standard output or --output")
    ] = ReportFormat.TABLE,
    output: Annotated[Path | None, typer.Option(help="Write to this file")] = None,
    json_output: JsonFlag = False,
) -> None:
    """A tenant's usage and what it comes to; or that of all of them."""
    if (slug is None) != all_tenants:
        raise UsageFailure("Say of whom: a slug, or --all.")
    path = "usage-report" if slug is None else f"tenants/{segment(slug)}/usage-report"
    api = api_connect()
    params = {"period": period} if period else {}
    if format in (ReportFormat.CSV, ReportFormat.PDF):
        content = api.raw("GET", path, params={**params, "format": format.value}).content
        if output is None and format is ReportFormat.PDF and sys.stdout.isatty():
            raise UsageFailure("A PDF does not belong on a terminal.", hint="Name a file with --output.")
        if output is not None:
            output.write_bytes(content)
            say(f"Written to {output}.")
        else:
            sys.stdout.buffer.write(content)
        return
    body = api.get(path, **params)
    if json_output or format is ReportFormat.JSON:
        print_json(body)
        return
    if all_tenants:
        _fleet_print(body)
        return
    rows = [(m["description"], m["total"], m["unit"], m["amount"]) for m in body["meters"]]
    print_table(
        ("meter", "quantity", "unit", f"amount {body['currency']}"), rows, title=f"{slug} in {body['period']}"
    )
    data_console.print(f"estimated total {body['estimated_total']} {body['currency']}", markup=False)


def _fleet_print(body: dict[str, Any]) -> None:
    rows = [
        (
            row["tenant"],
            row["efficiency"]["runs"],
            row["efficiency"]["success_rate"] or "-",
            row["cost_per_task"]["cost"] or "-",
            row["estimated_total"],
            row["change_percent"] or "-",
            row["currency"],
        )
        for row in body["tenants"]
    ]
    columns = ("tenant", "runs", "succeeded", "cost of a run", "estimated total", "change in %", "currency")
    print_table(columns, rows, title=f"all tenants in {body['period']}")
    for total in body["totals"]:
        data_console.print(f"estimated total {total['estimated_total']} {total['currency']}", markup=False)


@runs.command("create")
def runs_create(
    slug: str,
    question: str,
    agent: Annotated[str, typer.Option(help="The agent to run")] = "document_analyst",
    json_output: JsonFlag = False,
) -> None:
    """Run an agent in a tenant's runtime and wait for its answer."""
    runtime = runtimes.runtime_connect(api_connect(), home_find(), slug)
    values = runtimes.agent_run(runtime, question, agent=agent)
    if json_output:
        print_json(values)
        return
    data_console.print(runtimes.answer_text(values), markup=False)


@documents.command("ingest")
def documents_ingest(slug: str, path: Path, json_output: JsonFlag = False) -> None:
    """Put the documents below a folder (md, txt, rst, html) into a tenant's long-term memory."""
    found = list(runtimes.documents_read(path))
    if not found:
        raise UsageFailure(
            f"No documents below {path}.", hint=f"Read are {', '.join(runtimes.DOCUMENT_SUFFIXES)}."
        )
    runtime = runtimes.runtime_connect(api_connect(), home_find(), slug)
    counts = runtimes.documents_ingest(runtime, found)
    if json_output:
        print_json(counts)
    else:
        say(", ".join(f"{value} {name}" for name, value in counts.items()))


@keys.command("list")
def keys_list(json_output: JsonFlag = False) -> None:
    """Keys of your team; the secrets are not kept anywhere."""
    rows = list(api_connect().pages("api-keys"))
    if json_output:
        print_json(rows)
        return
    columns = ("id", "prefix", "name", "scopes", "last used", "revoked")
    cells = [
        (r["id"], r["prefix"], r["name"], " ".join(r["scopes"]), r["last_used_at"], r["revoked_at"])
        for r in rows
    ]
    print_table(columns, cells)


@keys.command("create")
def keys_create(
    name: str,
    scope: Annotated[list[str], typer.Option(help="May be repeated, such as tenants:read")],
    tenant: Annotated[list[str] | None, typer.Option(help="Limit the key to these tenants")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Make a key; its secret is shown once."""
    body = api_connect().post("api-keys", {"name": name, "scopes": scope, "tenants": tenant or None})
    if json_output:
        print_json(body)
    else:
        data_console.print(body["api_key"], markup=False)
        say("The key is shown once; keep it safe.")


@keys.command("revoke")
def keys_revoke(key_id: str, json_output: JsonFlag = False) -> None:
    """End a key at once."""
    api_connect().call("DELETE", f"api-keys/{segment(key_id)}")
    if json_output:
        print_json({"id": key_id, "revoked": True})
    else:
        say("Revoked.")


@audit.command("list")
def audit_list(json_output: JsonFlag = False) -> None:
    """Newest first."""
    rows = api_connect().get("audit-events")["results"]
    if json_output:
        print_json(rows)
        return
    cells = [(r["sequence"], r["at"][:19], r["actor"], r["action"], r["subject"]["id"]) for r in rows]
    print_table(("#", "at", "actor", "action", "subject"), cells)


@audit.command("verify")
def audit_verify(json_output: JsonFlag = False) -> None:
    """Walk the hash chain; exit 1 when it is broken."""
    body = api_connect().get("audit-events/verify")
    if json_output:
        print_json(body)
    else:
        say(
            f"{body['checked']} events, " + ("unbroken." if body["ok"] else f"broken at {body['broken_at']}.")
        )
    if not body["ok"]:
        raise typer.Exit(1)
