"""What a preview would do, in a form that a test can compare."""

from pulumi import automation as auto
from pulumi.automation import OpType

_CHANGES = (OpType.CREATE, OpType.UPDATE, OpType.REPLACE, OpType.DELETE)


def planned_changes(stack: auto.Stack) -> dict[str, tuple[str, set[str]]]:
    """`Type name` -> what would be done with it, and for which inputs; what stays as it is is left out."""
    found = {}

    def note(event: auto.events.EngineEvent) -> None:
        about = event.resource_pre_event.metadata if event.resource_pre_event else None
        if about is not None and about.op in _CHANGES:
            kind, name = about.urn.split("::")[-2:]
            found[f"{kind.rsplit(':')[-1]} {name}"] = (about.op.value, set(about.detailed_diff or {}))

    stack.preview(on_event=note)
    return found
