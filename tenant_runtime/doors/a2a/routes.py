"""A2A's paths: at the root for the first agent of the manifest, below `/a2a/{agent}` for each of them."""

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tenant_runtime.doors.a2a.asking import AskingBuilder, card_of
from tenant_runtime.doors.a2a.handler import RunTasks

_BELOW = "/a2a/{agent}"


async def _card(request: Request) -> Response:
    return JSONResponse(agent_card_to_dict(card_of(request.app.state.runtime, request)))


def a2a_routes() -> list[BaseRoute]:
    handler, builder = RunTasks(), AskingBuilder()
    found: list[BaseRoute] = []
    for prefix in ("", _BELOW):
        found.append(Route(f"{prefix}{AGENT_CARD_WELL_KNOWN_PATH}", _card, methods=["GET"]))
        rest = create_rest_routes(handler, builder, path_prefix=prefix)
        # The SDK's last route takes every path of two parts and more, for tenants that this runtime does not have.
        found.extend(route for route in rest if isinstance(route, Route))
    found.extend(create_jsonrpc_routes(handler, _BELOW, builder))
    return found
