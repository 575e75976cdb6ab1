"""What a run begins with: its input, or a command as SDK clients write one."""

from typing import Any

from langgraph.types import Command, Send

Row = dict[str, Any]


def command_make(command: Row) -> Command[Any]:
    """`{update, resume, goto}`; goto is a node, `{node, input}`, or a list of them."""
    goto = command.get("goto") or []
    targets = goto if isinstance(goto, list) else [goto]
    return Command(
        update=command.get("update"),
        resume=command.get("resume"),
        goto=[Send(item["node"], item.get("input")) if isinstance(item, dict) else item for item in targets],
    )
