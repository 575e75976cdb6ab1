"""`freehold invoices ...`."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.invoice_chain import chain_verify
from controlplane.cli.client import Api, api_connect, segment
from controlplane.cli.errors import CliError, UsageFailure, WaitingTimedOut
from controlplane.cli.options import JsonFlag, TimeoutOption, WaitFlag
from controlplane.cli.output import data_console, print_json, print_table, say

app = typer.Typer(no_args_is_help=True)
OutputOption = Annotated[Path | None, typer.Option("--output", help="Write to this file")]


@app.command()
def preview(slug: str, json_output: JsonFlag = False) -> None:
    """This month's invoice as it would be now."""
    body = api_connect().get(f"tenants/{segment(slug)}/invoice-preview")
    if json_output:
        print_json(body)
        return
    _lines_print(body)
    data_console.print(f"total {body['total']} {body['currency']}", markup=False)


@app.command("list")
def invoices_list(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant")] = None,
    period: Annotated[str | None, typer.Option(help="YYYY-MM")] = None,
    state: Annotated[str | None, typer.Option(help="draft, finalized, paid, void or uncollectible")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Newest first."""
    rows = list(api_connect().pages("invoices", tenant=tenant, period=period, state=state))
    if json_output:
        print_json(rows)
        return
    names = ("id", "number", "tenant", "state", "total", "currency", "due_date")
    cells = [(row["period"]["from"][:7], *(row[name] for name in names)) for row in rows]
    print_table(("period", *names), cells)


@app.command()
def show(
    invoice: Annotated[str, typer.Argument(help="Number or id")],
    format: Annotated[str, typer.Option(help="table, pdf, csv or focus")] = "table",
    output: OutputOption = None,
    json_output: JsonFlag = False,
) -> None:
    """One invoice; as a file with --format and --output."""
    api = api_connect()
    body = _find(api, invoice)
    if format in ("pdf", "csv", "focus"):
        suffix, params = ("csv", {"format": "focus"}) if format == "focus" else (format, {})
        _file_write(api.raw("GET", f"invoices/{body['id']}.{suffix}", params=params).content, output, format)
        return
    if format != "table":
        raise UsageFailure("--format must be table, pdf, csv or focus.")
    if json_output:
        print_json(body)
        return
    say(f"{body['number'] or 'draft'}  {body['tenant']}  {body['state']}  due {body['due_date'] or '-'}")
    _lines_print(body)
    for name in ("subtotal", "credits", "tax", "total", "amount_due"):
        data_console.print(f"{name.replace('_', ' ')} {body[name]} {body['currency']}", markup=False)


@app.command()
def explain(
    invoice: Annotated[str, typer.Argument(help="Number or id")],
    line: Annotated[str, typer.Argument(help="The line's id, or its number from 1")],
    every: Annotated[bool, typer.Option("--all", help="Every event, not only the first page")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Why a line is what it is, down to the events."""
    api = api_connect()
    body = _find(api, invoice)
    path = f"invoices/{body['id']}/lines/{_line_id(body, line)}/explain"
    found = api.get(path)
    events, following = list(found["events"]), found["next"]
    while every and following:
        page = api.get(path, cursor=following)
        events, following = events + page["events"], page["next"]
    if json_output:
        print_json({**found, "events": events, "next": following})
        return
    say(found["arithmetic"])
    if found["parts"]:
        print_table(
            ("over", "to", "quantity", "unit price", "flat", "exact"),
            [
                (p["first"], p["last"], p["quantity"], p["unit_price"], p["flat"], p["exact"])
                for p in found["parts"]
            ],
        )
    print_table(("from", "to", "used"), [(w["from"], w["to"], w["value"]) for w in found["windows"]])
    print_table(
        ("time", "source", "event", "value"), [(e["time"], e["source"], e["id"], e["value"]) for e in events]
    )
    if following:
        say("More events follow; --all shows them.")


@app.command()
def draft(
    slug: str, period: Annotated[str, typer.Argument(help="YYYY-MM")], json_output: JsonFlag = False
) -> None:
    """Make a month's draft; the close of the month does so by itself."""
    _acted(api_connect().post("invoices", {"tenant": slug, "period": period}), json_output)


@app.command()
def finalize(invoice: str, json_output: JsonFlag = False) -> None:
    """Issue a draft."""
    _act(invoice, "finalize", {}, json_output)


@app.command()
def void(
    invoice: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail")],
    json_output: JsonFlag = False,
) -> None:
    """Take an issued invoice back."""
    _act(invoice, "void", {"reason": reason}, json_output)


@app.command()
def pay(
    invoice: str,
    reference: Annotated[str, typer.Option(help="Of the payment")],
    json_output: JsonFlag = False,
) -> None:
    """Note that what is due was paid."""
    _act(invoice, "pay", {"reference": reference}, json_output)


@app.command()
def settle(
    invoice: str,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="By an invoice of its own, not the next one")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Bill or credit late usage of an invoiced month."""
    _act(invoice, "settle", {"at_once": at_once}, json_output)


@app.command()
def close(
    period: Annotated[str, typer.Argument(help="YYYY-MM")],
    without_grace: Annotated[
        bool, typer.Option("--without-grace", help="Do not wait for late events")
    ] = False,
    wait: WaitFlag = True,
    timeout_s: TimeoutOption = 900.0,
    json_output: JsonFlag = False,
) -> None:
    """Close a month: every tenant's invoice."""
    api = api_connect()
    body = api.post("period-closes", {"period": period, "without_grace": without_grace})
    deadline = time.monotonic() + timeout_s
    while wait and body["state"] == "running":
        if time.monotonic() >= deadline:
            raise WaitingTimedOut(f"The close of {period} still runs; it goes on.")
        time.sleep(1)
        body = api.get(f"period-closes/{body['id']}")
    if json_output:
        print_json(body)
        return
    cells = [(t["tenant"], t["state"], t["invoice"], t["detail"].get("reason", "")) for t in body["tenants"]]
    print_table(("tenant", "state", "invoice", "why"), cells, title=f"{period}: {body['state']}")


@app.command()
def release(
    period: Annotated[str, typer.Argument(help="YYYY-MM")],
    slug: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail")],
    json_output: JsonFlag = False,
) -> None:
    """Let a tenant that a close holds go on."""
    api = api_connect()
    found = next((row for row in api.pages("period-closes") if row["period"] == period), None)
    if found is None:
        raise CliError(f"{period} has no close.", hint=f"freehold invoices close {period}")
    body = api.post(f"period-closes/{found['id']}/release", {"tenant": slug, "reason": reason})
    if json_output:
        print_json(body)
    else:
        say(f"{slug} goes on.")


@app.command()
def export(invoice: str, output: OutputOption = None) -> None:
    """The hash-chained export: the invoice and every event behind it, as JSON Lines."""
    api = api_connect()
    body = _find(api, invoice)
    _file_write(api.raw("GET", f"invoices/{body['id']}/export").content, output, "jsonl")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="As `freehold invoices export` wrote it")],
    fingerprint: Annotated[str | None, typer.Option(help="As printed on the invoice")] = None,
    head: Annotated[str | None, typer.Option(help="As the invoice shows it")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Check an export, without asking the control plane: links, hashes and sums. Exit 1 when it is broken."""
    with file.open(encoding="utf-8") as lines:
        report = chain_verify(lines, fingerprint=fingerprint, head=head)
    if json_output:
        told = {"records": report.records, "fingerprint": report.fingerprint, "head": report.head}
        print_json({**told, "problems": list(report.problems), "ok": report.ok})
    else:
        for problem in report.problems:
            say(f"broken: {problem}")
        say(
            f"{report.records} records, head {report.head}"
            + (", unbroken, the sums fit." if report.ok else ".")
        )
    if not report.ok:
        raise typer.Exit(1)


def _act(invoice: str, verb: str, body: dict[str, Any], json_output: bool) -> None:
    api = api_connect()
    _acted(api.post(f"invoices/{_find(api, invoice)['id']}/{verb}", body), json_output)


def _acted(body: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(body)
        return
    name = f"{body['number'] or 'draft'} {body['id']} of {body['tenant']}"
    say(f"{name} is {body['state']}: {body['total']} {body['currency']}")
    if settlement := body.get("settlement"):
        say(f"Late usage: {settlement['net']} {settlement['currency']} ({settlement['state']})")


def _find(api: Api, invoice: str) -> dict[str, Any]:
    """By id, else by number among those that can be seen."""
    if invoice.count("-") == 4:
        return dict(api.get(f"invoices/{segment(invoice)}"))
    found = next((row for row in api.pages("invoices", limit=200) if row["number"] == invoice), None)
    return found if found is not None else dict(api.get(f"invoices/{segment(invoice)}"))


def _line_id(invoice: dict[str, Any], line: str) -> str:
    if not line.isdigit():
        return segment(line)
    if not 1 <= int(line) <= len(invoice["lines"]):
        raise UsageFailure(f"The invoice has the lines 1 to {len(invoice['lines'])}.")
    return str(invoice["lines"][int(line) - 1]["id"])


def _lines_print(body: dict[str, Any]) -> None:
    rows = [(e["description"], e["quantity"], e["unit"], e["unit_price"], e["amount"]) for e in body["lines"]]
    print_table(("line", "quantity", "unit", "unit price", f"amount {body['currency']}"), rows)


def _file_write(content: bytes, output: Path | None, kind: str) -> None:
    if output is None and kind == "pdf" and sys.stdout.isatty():
        raise UsageFailure("A PDF does not belong on a terminal.", hint="Name a file with --output.")
    if output is None:
        sys.stdout.buffer.write(content)
    else:
        output.write_bytes(content)
        say(f"Written to {output}.")
