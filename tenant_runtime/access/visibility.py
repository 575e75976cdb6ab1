"""Whose rows a principal sees. Selects are narrowed by it, so a foreign row is a missing one."""

from typing import Final, Literal

from tenant_runtime.access.principals import Principal, Role

#: `rows`: threads, runs and store items. Assistants and crons are also the developers' affair.
Kind = Literal["rows", "assistants", "crons"]

_EVERYBODYS: Final[dict[Kind, frozenset[Role]]] = {
    "rows": frozenset({"admin", "operator"}),
    "assistants": frozenset({"admin", "operator", "developer"}),
    "crons": frozenset({"admin", "operator", "developer"}),
}


def owner_filter(principal: Principal, kind: Kind = "rows") -> str | None:
    """The only owner whose rows the principal may read or change; None: everybody's."""
    return None if principal.role in _EVERYBODYS[kind] else principal.id
