"""What routes share: the request's runtime and principal, and whose rows the caller may see."""

from typing import Annotated, Any

from fastapi import Depends, Request

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.runtime import Runtime


# Coroutines, though they wait for nothing: a plain function would be called in another thread, at each request.
async def _runtime(request: Request) -> Runtime:
    found: Runtime = request.app.state.runtime
    return found


async def _principal(request: Request) -> Principal:
    found: Principal = request.state.principal
    return found


async def _owner(request: Request) -> str | None:
    return owner_filter(await _principal(request))


InRuntime = Annotated[Runtime, Depends(_runtime)]
Caller = Annotated[Principal, Depends(_principal)]
#: Whose threads, runs and items the caller may see; None: everybody's.
Owner = Annotated[str | None, Depends(_owner)]


def selected(row: dict[str, Any], names: list[str] | None) -> dict[str, Any]:
    """The members a caller asked for; all of them when it named none."""
    return row if not names else {name: value for name, value in row.items() if name in names}
