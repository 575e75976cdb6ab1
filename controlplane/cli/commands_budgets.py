"""`freehold budgets list|set|show|delete`, `freehold reports links create|list|revoke` and `freehold reports schedules
create|list|pause|resume|delete`."""

from typing import Annotated, Any

import typer

from controlplane.cli.client import Api, api_connect, segment
from controlplane.cli.errors import UsageFailure
from controlplane.cli.options import JsonFlag
from controlplane.cli.output import data_console, print_json, print_table, say

budgets = typer.Typer(no_args_is_help=True)
reports = typer.Typer(no_args_is_help=True)
links = typer.Typer(no_args_is_help=True)
schedules = typer.Typer(no_args_is_help=True)
reports.add_typer(schedules, name="schedules", help="Reports that are sent by the clock.")
reports.add_typer(links, name="links", help="Links to a tenant's own pages, for people without a login.")

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Slug; without it, all tenants together")]


def _place(tenant: str | None) -> str:
    return "budgets" if tenant is None else f"tenants/{segment(tenant)}/budgets"


@budgets.command("list")
def budgets_list(tenant: TenantOption = None, json_output: JsonFlag = False) -> None:
    """Budgets of a tenant, or of all tenants together, and where they stand."""
    rows = list(api_connect().pages(_place(tenant), limit=200))
    if json_output:
        print_json(rows)
        return
    cells = []
    for row in rows:
        status, currency = row["status"], row["currency"]
        spent = f"{status['spent']} ({status['spent_percent']} %)" if status["spent"] else "-"
        cells.append(
            (
                row["id"],
                row["name"],
                f"{row['amount']} {currency}",
                spent,
                status["forecast"] or "-",
                status["state"],
            )
        )
    print_table(("id", "name", "a month", "spent", "forecast", "state"), cells)
    if not rows:
        whose = f" --tenant {tenant}" if tenant else ""
        say(f"No budgets yet. Set one: freehold budgets set{whose} --amount 500")


@budgets.command("show")
def budgets_show(budget_id: str, tenant: TenantOption = None, json_output: JsonFlag = False) -> None:
    """One budget: what is spent and forecast, its thresholds, and what they said."""
    body = api_connect().get(f"{_place(tenant)}/{segment(budget_id)}")
    if json_output:
        print_json(body)
    else:
        _shown(body)


@budgets.command("set")
def budgets_set(
    tenant: TenantOption = None,
    amount: Annotated[str | None, typer.Option(help="For a month, such as 500 or 99.50")] = None,
    budget_id: Annotated[
        str | None, typer.Option("--id", help="Change this budget instead of a new one")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Shown in alerts; Budget if not given")] = None,
    currency: Annotated[str | None, typer.Option(help="Of a new one; USD if not given")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="PERCENT[:actual|forecast[:ACTION+ACTION]], such as 100:actual:alert+block_runs; may be repeated"
        ),
    ] = None,
    on_unknown: Annotated[
        str | None, typer.Option(help="open or closed: what to do while it cannot be evaluated")
    ] = None,
    resume_afterwards: Annotated[
        bool | None,
        typer.Option("--resume-afterwards/--stay-suspended", help="Of a tenant that it suspended"),
    ] = None,
    email: Annotated[list[str] | None, typer.Option(help="Who is told; may be repeated")] = None,
    webhook: Annotated[str | None, typer.Option(help="An https URL that is told; empty: none")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Set a budget, or change one with --id: only what is given is changed."""
    wanted = {
        "name": name,
        "amount": amount,
        "thresholds": [threshold_read(each) for each in threshold] if threshold else None,
        "on_unknown": on_unknown,
        "resume_afterwards": resume_afterwards,
        "emails": email or None,
    }
    body: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    if webhook is not None:
        body["webhook_url"] = webhook or None
    api = api_connect()
    if budget_id is None:
        answer = _create(api, tenant, body, currency)
    elif currency is not None:
        raise UsageFailure("A budget keeps its currency.", hint="Delete it and set a new one.")
    else:
        answer = api.call("PATCH", f"{_place(tenant)}/{segment(budget_id)}", body=body)
    if json_output:
        print_json(answer)
        return
    _shown(answer)
    if answer["webhook_secret"]:
        data_console.print(f"webhook secret {answer['webhook_secret']}", markup=False)
        say("The secret is shown once; it verifies webhook-signature.")


def _create(api: Api, tenant: str | None, body: dict[str, Any], currency: str | None) -> Any:
    if "amount" not in body:
        raise UsageFailure("Say how much: --amount 500.")
    return api.post(
        _place(tenant), {"name": "Budget", **body, **({"currency": currency} if currency else {})}
    )


@budgets.command("delete")
def budgets_delete(budget_id: str, tenant: TenantOption = None, json_output: JsonFlag = False) -> None:
    """Delete a budget; what it blocked is free again."""
    api_connect().call("DELETE", f"{_place(tenant)}/{segment(budget_id)}")
    if json_output:
        print_json({"id": budget_id, "deleted": True})
    else:
        say("Deleted.")


def threshold_read(text: str) -> dict[str, Any]:
    """`80`, `80:forecast` or `100:actual:alert+block_runs`; the API says what is wrong with the words."""
    percent, _, rest = text.partition(":")
    measure, _, actions = rest.partition(":")
    found: dict[str, Any] = {"percent": percent.removesuffix("%").strip()}
    if measure:
        found["on"] = measure
    if actions:
        found["actions"] = actions.split("+")
    return found


@links.command("create")
def links_create(
    slug: str,
    label: Annotated[str, typer.Option(help="For whom it is")] = "",
    days: Annotated[int, typer.Option(help="How long it is good for")] = 30,
    scope: Annotated[str, typer.Option(help="What it shows: usage, usage_invoices or all")] = "usage",
    json_output: JsonFlag = False,
) -> None:
    """Make a link; its address is shown once."""
    body = {"label": label, "expires_in_days": days, "scope": scope}
    made = api_connect().post(f"tenants/{segment(slug)}/report-links", body)
    if json_output:
        print_json(made)
        return
    data_console.print(made["url"], markup=False)
    say(
        f"The address is shown once. Whoever has it can read what it shows of {slug} until {made['expires_at'][:10]}."
    )


@links.command("list")
def links_list(slug: str, json_output: JsonFlag = False) -> None:
    """Links of a tenant; their addresses are not kept anywhere."""
    rows = list(api_connect().pages(f"tenants/{segment(slug)}/report-links", limit=200))
    if json_output:
        print_json(rows)
        return
    cells = [
        (r["id"], r["label"], r["scope"], r["state"], r["expires_at"][:10], r["last_used_at"]) for r in rows
    ]
    print_table(("id", "label", "shows", "state", "until", "last used"), cells)


@links.command("revoke")
def links_revoke(slug: str, link_id: str, json_output: JsonFlag = False) -> None:
    """End a link at once."""
    api_connect().call("DELETE", f"tenants/{segment(slug)}/report-links/{segment(link_id)}")
    if json_output:
        print_json({"id": link_id, "revoked": True})
    else:
        say("Revoked.")


def _shown(body: dict[str, Any]) -> None:
    status, currency = body["status"], body["currency"]
    whose = body["tenant"] or "all tenants"
    data_console.print(
        f"{body['name']} ({body['id']}): {body['amount']} {currency} a month for {whose}", markup=False
    )
    rows = [
        ("state", status["state"]),
        ("spent", f"{status['spent']} ({status['spent_percent']} %)" if status["spent"] else "-"),
        ("an hour of what is open", status["run_rate"] or "-"),
        ("forecast", f"{status['forecast']} ({status['forecast_percent']} %)" if status["forecast"] else "-"),
        ("evaluated", status["evaluated_at"] or "-"),
        ("next evaluation", status["next_evaluation_at"]),
        *(
            [("problem", status["problem"]), ("meanwhile", status["while_unknown"])]
            if status["problem"]
            else []
        ),
    ]
    print_table(("", ""), rows)
    print_table(
        ("percent", "of", "amount", "does", "reached"),
        [
            (each["percent"], each["on"], each["amount"], " ".join(each["actions"]), each["fired_at"] or "-")
            for each in status["thresholds"]
        ],
    )


@schedules.command("create")
def schedules_create(
    cadence: Annotated[str, typer.Option(help="`monthly` or `weekly`")] = "monthly",
    tenant: TenantOption = None,
    format_: Annotated[
        str, typer.Option("--format", help="Of the file in the e-mail: pdf, csv or json")
    ] = "pdf",
    email: Annotated[list[str] | None, typer.Option(help="Whom to send it to; may be given again")] = None,
    webhook: Annotated[str | None, typer.Option(help="Where to post it to, signed; an https address")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Send a report by the clock. A webhook's secret is shown once."""
    body: dict[str, Any] = {"cadence": cadence, "format": format_, "emails": email or []}
    if tenant is not None:
        body["tenant"] = tenant
    if webhook is not None:
        body["webhook_url"] = webhook
    made = api_connect().post("report-schedules", body)
    if json_output:
        print_json(made)
        return
    if made["webhook_secret"]:
        data_console.print(made["webhook_secret"], markup=False)
        say("The secret that signs what is posted. It is shown once.")
    say(f"Schedule {made['id']}: next on {made['next_at'][:10]}.")


@schedules.command("list")
def schedules_list(json_output: JsonFlag = False) -> None:
    """Reports that are sent by the clock."""
    rows = list(api_connect().pages("report-schedules", limit=200))
    if json_output:
        print_json(rows)
        return
    cells = [
        (
            row["id"],
            row["tenant"] or "all tenants",
            row["cadence"],
            row["format"],
            ", ".join([*row["emails"], *([row["webhook_url"]] if row["webhook_url"] else [])]),
            row["next_at"][:10] if row["active"] else "paused",
        )
        for row in rows
    ]
    print_table(("id", "of", "cadence", "format", "to", "next"), cells)


@schedules.command("pause")
def schedules_pause(schedule_id: str, json_output: JsonFlag = False) -> None:
    """Send nothing until it is resumed."""
    _schedule_switch(schedule_id, active=False, json_output=json_output)


@schedules.command("resume")
def schedules_resume(schedule_id: str, json_output: JsonFlag = False) -> None:
    """Send again, from the next time on."""
    _schedule_switch(schedule_id, active=True, json_output=json_output)


def _schedule_switch(schedule_id: str, *, active: bool, json_output: bool) -> None:
    path = f"report-schedules/{segment(schedule_id)}"
    changed = api_connect().call("PATCH", path, body={"active": active})
    if json_output:
        print_json(changed)
    else:
        say(f"Next on {changed['next_at'][:10]}." if active else "Paused.")


@schedules.command("delete")
def schedules_delete(schedule_id: str, json_output: JsonFlag = False) -> None:
    """Delete a schedule."""
    api_connect().call("DELETE", f"report-schedules/{segment(schedule_id)}")
    if json_output:
        print_json({"id": schedule_id, "deleted": True})
    else:
        say("Deleted.")
