"""`freehold credits | costs | margin ...`."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.client import api_connect, segment
from controlplane.cli.errors import UsageFailure
from controlplane.cli.options import JsonFlag
from controlplane.cli.output import data_console, print_json, print_table, say

credits = typer.Typer(no_args_is_help=True)
costs = typer.Typer(no_args_is_help=True)

PeriodOption = Annotated[str | None, typer.Option("--period", help="YYYY-MM; this month if not given")]
GZIP = b"\x1f\x8b"
CENT = Decimal("0.01")


@credits.command("list")
def credits_list(slug: str, json_output: JsonFlag = False) -> None:
    """What a tenant was given, and what is left of it."""
    body = api_connect().get(f"tenants/{segment(slug)}/credits", limit=200)
    if json_output:
        print_json(body)
        return
    rows = [
        (
            r["id"],
            r["name"],
            r["source"],
            r["remaining"],
            r["amount"],
            r["currency"],
            r["state"],
            r["expires_at"],
        )
        for r in body["results"]
    ]
    print_table(("id", "name", "source", "left", "of", "", "state", "expires"), rows)
    for currency, amount in body["balances"].items():
        data_console.print(f"balance {amount} {currency}", markup=False)


@credits.command("add")
def credits_add(
    slug: str,
    amount: Annotated[str, typer.Argument(help="Such as 250 or 99.50")],
    name: Annotated[str, typer.Option(help="What the customer reads")],
    source: Annotated[str, typer.Option(help="purchase, or promotion for a gift")] = "purchase",
    currency: str = "USD",
    priority: Annotated[int, typer.Option(help="Smaller is used first")] = 50,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339; never if not given")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Give a tenant credit."""
    body: dict[str, Any] = {
        "name": name,
        "source": source,
        "amount": amount,
        "currency": currency,
        "priority": priority,
    }
    if expires_at is not None:
        body["expires_at"] = expires_at
    made = api_connect().post(f"tenants/{segment(slug)}/credits", body)
    if json_output:
        print_json(made)
    else:
        say(f"Credit {made['id']} of {made['amount']} {made['currency']} is {made['state']}.")


@credits.command("void")
def credits_void(slug: str, credit_id: str, json_output: JsonFlag = False) -> None:
    """Take back what is left of a credit."""
    gone = api_connect().call("DELETE", f"tenants/{segment(slug)}/credits/{segment(credit_id)}")
    if json_output:
        print_json(gone)
    else:
        say(f"Credit {gone['id']} is {gone['state']}.")


@costs.command("show")
def costs_show(slug: str, period: PeriodOption = None, json_output: JsonFlag = False) -> None:
    """What a tenant cost in a month, by kind."""
    body = api_connect().get(f"tenants/{segment(slug)}/costs", period=period)
    if json_output:
        print_json(body)
        return
    rows = [
        (kind.replace("_", " "), _cents(amount), total["currency"])
        for total in body["totals"]
        for kind, amount in {**total["by_kind"], "total": total["total"]}.items()
    ]
    print_table(("cost", "amount", ""), rows, title=f"{slug} in {body['period']}")
    for each in body["unpriced"]:
        say(f"No price is known for {each['tokens']} {each['meter']} of {each['model']}.")


@costs.command("import")
def costs_import(
    file: Annotated[Path, typer.Argument(help="CSV of AWS CUR 2.0 or FOCUS 1.x, plain or gzip")],
    feed: Annotated[str, typer.Option(help="Whose bill it is")] = "aws",
    mode: Annotated[
        str, typer.Option(help="replace: the whole of its months; add: a part of it")
    ] = "replace",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, and keep nothing")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Take the provider's bill into the ledger. The same file again changes nothing."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageFailure(f"{file} cannot be read: {error.strerror}.") from error
    body = api_connect().call(
        "POST",
        "cost-imports",
        params={"feed": feed, "mode": mode, "dry_run": "true" if dry_run else "false"},
        # The time left out: the same file must be the same bytes.
        content=content if content.startswith(GZIP) else gzip.compress(content, mtime=0),
        headers={"Content-Type": "application/gzip"},
    )
    if json_output:
        print_json(body)
        return
    posted = ", ".join(f"{amount} {currency}" for currency, amount in body["posted"].items()) or "nothing"
    if not body["fresh"]:
        say("This file was imported before; nothing was done.")
        return
    say(
        f"{body['lines']} lines, {body['changed']} of them new or changed, {body['untagged']} without a tenant's tag."
    )
    for tag, count in body["unknown_tags"].items():
        say(f"{count} lines are tagged {tag}, which no tenant of yours is.")
    say(f"{'Would post' if dry_run else 'Posted'} {posted}.")


def margin(
    slug: Annotated[str | None, typer.Argument(help="The tenant; or --all")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every tenant, and their sum")] = False,
    period: PeriodOption = None,
    json_output: JsonFlag = False,
) -> None:
    """What a tenant, or all of them, earned and cost in a month, by the ledger."""
    if (slug is None) is not everyone:
        raise UsageFailure("Say whose: a tenant's slug, or --all.")
    path = "margin" if slug is None else f"tenants/{segment(slug)}/margin"
    body = api_connect().get(path, period=period)
    if json_output:
        print_json(body)
        return
    shown = [body] if slug is not None else body["tenants"]
    rows = [
        _row(each["tenant"] or "(no tenant)", line, each["gpu"]) for each in shown for line in each["lines"]
    ]
    rows += [_row("all", line, None) for line in body.get("totals", [])]
    columns = ("tenant", "", "revenue", "cost", "margin", "%", "idle", "GPU h paid", "busy", "billed")
    print_table(columns, rows, title=f"margin in {body['period']}")


def _row(whose: str, line: dict[str, Any], gpu: dict[str, Any] | None) -> tuple[Any, ...]:
    hours = [_cents(gpu[f"{kind}_hours"]) for kind in ("paid", "busy", "billed")] if gpu else ["", "", ""]
    money = [_cents(line[name]) for name in ("revenue", "cost", "margin")]
    return (whose, line["currency"], *money, line["margin_percent"], _cents(line["idle_cost"]), *hours)


def _cents(exact: str) -> str:
    """For the eye: the API and --json give every digit."""
    return format(Decimal(exact).quantize(CENT), "f")
