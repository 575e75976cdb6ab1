"""`freehold operations ...`, and following an operation from any command."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from controlplane.cli.client import Api, api_connect, operation_wait, segment
from controlplane.cli.errors import CliError, Denied
from controlplane.cli.options import JsonFlag, ReasonOption, TimeoutOption
from controlplane.cli.output import data_console, event_line, narration, print_json, print_table, say

app = typer.Typer(no_args_is_help=True)
DEFAULT_TIMEOUT_S = 600.0


def follow(api: Api, operation_id: str, *, timeout_s: float, quiet: bool = False) -> dict[str, Any]:
    """Shows the timeline as it grows; the operation when it succeeded. CliError when it failed."""

    def on_event(event: dict[str, Any]) -> None:
        line = event_line(event)
        if line is not None and not quiet:
            narration.print(line, markup=False)

    operation = operation_wait(api, operation_id, timeout_s=timeout_s, on_event=on_event)
    if operation["state"] == "failed":
        error = operation["error"] or {}
        kind = Denied if error.get("code") == "policy_denied" else CliError
        raise kind(
            f"{error.get('title', 'The operation failed')}: {error.get('detail', '')}",
            hint=f"{error.get('hint', '')}\nfreehold operations retry {operation_id}".strip(),
            problem=error,
        )
    return operation


def finish(api: Api, operation: dict[str, Any], *, wait: bool, timeout_s: float, as_json: bool) -> None:
    """The common end of commands that begin an operation."""
    if wait:
        operation = follow(api, operation["id"], timeout_s=timeout_s, quiet=as_json)
    if as_json:
        print_json(operation)
    else:
        say(f"Operation {operation['id']} ({operation['kind']}): {operation['state']}.")


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only those in this state")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant")] = None,
    json_output: JsonFlag = False,
) -> None:
    """Newest first."""
    rows = api_connect().get("operations", state=state, tenant=tenant)["results"]
    if json_output:
        print_json(rows)
        return
    columns = ("id", "tenant", "kind", "state", "created", "by")
    print_table(
        columns,
        [
            (r["id"], r["tenant"], r["kind"], r["state"], r["created_at"][:19], r["requested_by"])
            for r in rows
        ],
    )


@app.command()
def show(operation_id: str, json_output: JsonFlag = False) -> None:
    """One operation: state, steps, error."""
    operation = api_connect().get(f"operations/{segment(operation_id)}")
    if json_output:
        print_json(operation)
        return
    data_console.print(f"{operation['kind']} of {operation['tenant']}: {operation['state']}", markup=False)
    if operation["waiting_for"]:
        position = (
            f"number {operation['queue_position']} in the queue, " if operation["queue_position"] else ""
        )
        data_console.print(f"{position}waiting for {operation['waiting_for']}", markup=False)
    print_table(
        ("step", "state", "detail"), [(s["name"], s["state"], s["detail"]) for s in operation["steps"]]
    )
    if operation["error"]:
        data_console.print(f"{operation['error']['title']}\n{operation['error']['detail']}", markup=False)
        data_console.print(operation["error"]["hint"], markup=False)


@app.command()
def watch(
    operation_id: str, timeout: TimeoutOption = DEFAULT_TIMEOUT_S, json_output: JsonFlag = False
) -> None:
    """Follow an operation to its end; exit 0 only if it succeeded."""
    operation = follow(api_connect(), operation_id, timeout_s=timeout, quiet=json_output)
    if json_output:
        print_json(operation)
    else:
        say(f"Operation {operation_id}: {operation['state']}.")


@app.command()
def logs(
    operation_id: str,
    full: Annotated[bool, typer.Option("--full", help="With the runner's own output, as a text")] = False,
    json_output: JsonFlag = False,
) -> None:
    """The whole timeline so far."""
    api, cursor = api_connect(), 0
    if full:
        data_console.print(
            api.raw("GET", f"operations/{segment(operation_id)}/log").text, markup=False, end=""
        )
        return
    events: list[dict[str, Any]] = []
    while page := api.events(operation_id, cursor):
        events += page
        cursor = page[-1]["id"]
    if json_output:
        print_json(events)
        return
    for event in events:
        line = event_line(event)
        if line is not None:
            data_console.print(line, markup=False)


@app.command()
def plan(operation_id: str, json_output: JsonFlag = False) -> None:
    """What the operation would change or changed; what destroys comes first."""
    body = api_connect().get(f"operations/{segment(operation_id)}/plan")
    if json_output:
        print_json(body)
        return
    say(f"plan {body['plan_id']}")
    resources_print(body)
    judgement_print(body)


def resources_print(body: dict[str, Any]) -> None:
    """What of the plan changes anything."""
    changed = [r for r in body["resources"] if r["op"] != "same"]
    rows = [(r["op"], r["type"], r["name"], ", ".join(d["path"] for d in r["diffs"])) for r in changed]
    print_table(("op", "type", "name", "properties"), rows)


def judgement_print(body: dict[str, Any]) -> None:
    """What policy and prices say of the plan."""
    for finding in body["policy"]["findings"]:
        accepted = finding["exception"]
        tail = f" (accepted by {accepted['owner']} until {accepted['expires']})" if accepted else ""
        # Square brackets are markup to the narrator.
        said = f"{finding['severity']}: {finding['name']}: {finding['message']} [{finding['rule']}]{tail}"
        say(escape(said))
    if not body["policy"]["findings"]:
        say(f"{len(body['policy']['rules'])} policy rules: no objection")
    cost = body["cost"]
    if cost["monthly_after"] is not None:
        least = f", at least: {cost['unknown']} resources have no known price" if cost["unknown"] else ""
        say(f"{cost['monthly_before']} -> {cost['monthly_after']} {cost['currency']} a month{least}")


def _verb(operation_id: str, verb: str, reason: str, as_json: bool, *, plan_id: str | None = None) -> None:
    sent = {name: value for name, value in (("reason", reason), ("plan_id", plan_id)) if value}
    body = api_connect().post(f"operations/{segment(operation_id)}/{verb}", sent)
    if as_json:
        print_json(body["operation"])
    else:
        say(f"Operation {operation_id}: {body['state']}.")


@app.command()
def approve(
    operation_id: str,
    plan: Annotated[str | None, typer.Option(help="The plan's id, as `operations plan` shows it")] = None,
    reason: ReasonOption = "",
    json_output: JsonFlag = False,
) -> None:
    """Let an operation that waits for approval go on, if nothing its plan was computed from has moved."""
    _verb(operation_id, "approve", reason, json_output, plan_id=plan)


@app.command()
def reject(operation_id: str, reason: ReasonOption = "", json_output: JsonFlag = False) -> None:
    """End an operation that waits for approval."""
    _verb(operation_id, "reject", reason, json_output)


@app.command()
def cancel(operation_id: str, reason: ReasonOption = "", json_output: JsonFlag = False) -> None:
    """Cancel at once what waits; ask what runs to stop after the resources in flight."""
    _verb(operation_id, "cancel", reason, json_output)


@app.command()
def retry(operation_id: str, reason: ReasonOption = "", json_output: JsonFlag = False) -> None:
    """Queue a failed or canceled operation again."""
    _verb(operation_id, "retry", reason, json_output)
