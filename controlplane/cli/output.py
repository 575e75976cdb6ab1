"""Data on stdout, narration on stderr; no colour where NO_COLOR or a pipe asks for none."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

narration = Console(stderr=True, highlight=False, soft_wrap=True)
#: A pipe has no width: a table into one must not cut its cells.
data_console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 400)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*["" if cell is None else str(cell) for cell in row])
    data_console.print(table)


def say(text: str) -> None:
    narration.print(text)


def event_line(event: dict[str, Any]) -> str | None:
    """One line of the timeline for a terminal; None for what a terminal need not show."""
    kind, data = event["type"], event["data"]
    clock = event["at"][11:19]
    if kind == "state":
        return f"{clock}  {data['state']}"
    if kind == "step":
        detail = f": {data['detail']}" if data.get("detail") else ""
        return f"{clock}    {data['name']} {data['state']}{detail}"
    if data.get("phase") == "preview" and kind == "resource":
        return None
    if kind == "resource" and data["state"] in ("done", "failed") and data["op"] not in ("same", "read"):
        return f"{clock}      {data['op']} {data['type']} {data['name']} {data['state']}"
    if kind == "diagnostic" and data["severity"] in ("error", "warning"):
        return f"{clock}      {data['severity']}: {data['message']}"
    return None
