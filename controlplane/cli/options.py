"""Options that several commands share."""

from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
WaitFlag = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the operation to its end.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds to wait before exit code 9.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]
ApprovalFlag = Annotated[bool, typer.Option("--requires-approval", help="Stop after the plan for a person.")]
