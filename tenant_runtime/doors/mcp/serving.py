"""The MCP server behind the endpoint. Importing this takes the SDK's 0.8 seconds: see routes.py."""

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from tenant_runtime import __version__
from tenant_runtime.doors.mcp.tools import tool_call, tools_list


def manager_make() -> StreamableHTTPSessionManager:
    """A manager without sessions; it runs once."""
    server = Server(
        "freehold-tenant-runtime",
        version=__version__,
        instructions="Each tool is an agent. An answer's thread_id goes on with that conversation.",
        on_list_tools=tools_list,
        on_call_tool=tool_call,
    )
    return StreamableHTTPSessionManager(server, stateless=True)
