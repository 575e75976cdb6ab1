"""The executable `pulumi-resource-local`: serves the provider to one engine over gRPC, then ends."""

import argparse
import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from embedded.errors import EmbeddedError
from stacks.errors import StacksError
from stacks.providers.local.provider import LocalProvider

VERSION = "0.1.0"

_SHUTDOWN_GRACE_S = 4.0
_PARENT_POLL_S = 1.0


class LocalServicer(ProviderServicer):
    """The experimental servicer with its gaps closed: `Attach`, and errors as plain sentences."""

    async def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Without it PULUMI_DEBUG_PROVIDERS fails: the engine takes any error here as fatal."""
        return empty_pb2.Empty()

    async def GetSchema(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the provider local has no schema")

    async def Check(self, request: Any, context: Any) -> Any:
        return await _told(super().Check, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:
        return await _told(super().Diff, request, context)

    async def Create(self, request: Any, context: Any) -> Any:
        return await _told(super().Create, request, context)

    async def Read(self, request: Any, context: Any) -> Any:
        return await _told(super().Read, request, context)

    async def Update(self, request: Any, context: Any) -> Any:
        return await _told(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:
        return await _told(super().Delete, request, context)


async def _told(call: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any) -> Any:
    """Expected failures become the engine's error text; a surprise leaves its traceback on stderr."""
    try:
        return await call(request, context)
    except (StacksError, EmbeddedError) as error:
        await context.abort(grpc.StatusCode.INTERNAL, str(error))
    except OSError as error:
        await context.abort(grpc.StatusCode.INTERNAL, f"{error.strerror}: {error.filename}")
    except Exception as error:
        traceback.print_exc()
        await context.abort(grpc.StatusCode.INTERNAL, f"unexpected {type(error).__name__} in the provider")


async def serve(engine_address: str) -> None:
    """Serve until a signal, or until the engine is gone: it leaves its plugins behind when it is killed."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    servicer = LocalServicer([], VERSION, LocalProvider(), engine_address=engine_address)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    # The engine reads the port from the first line; nothing else may be written to stdout.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    engine = os.getppid()
    while not stopped.is_set() and os.getppid() == engine:
        try:
            await asyncio.wait_for(stopped.wait(), _PARENT_POLL_S)
        except TimeoutError:
            continue
    await server.stop(_SHUTDOWN_GRACE_S)


def run() -> None:
    parser = argparse.ArgumentParser(
        prog="pulumi-resource-local", description="Pulumi provider for servers on this machine"
    )
    # Without an engine only PULUMI_DEBUG_PROVIDERS is left, which attaches by the printed port.
    parser.add_argument("engine", nargs="?", default="", help="the engine's address, given by Pulumi")
    known, _ = parser.parse_known_args()
    asyncio.run(serve(known.engine))


if __name__ == "__main__":
    run()
