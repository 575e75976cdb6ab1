"""What every stand-in provider has in common: the gRPC service, its errors as sentences, and its executable."""

import argparse
import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

ROOT = Path(__file__).resolve().parents[3]
_SHUTDOWN_GRACE_S = 4.0
_PARENT_POLL_S = 1.0

#: Turns an exception that the API behind a stand-in raises into a sentence; None: it was not expected.
Explain = Callable[[Exception], str | None]


class Refused(Exception):
    """The request cannot be served; the text is the sentence that the user reads."""


class NotReady(Exception):
    """The resource exists but is not as it should be: the call fails, and the stack's state holds it nevertheless."""

    def __init__(self, reason: str, *, resource_id: str, properties: dict[str, PropertyValue]) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.properties = properties

    def details(self) -> tuple[tuple[str, bytes], ...]:
        """As the engine reads it from the metadata of a failed call."""
        failed = provider_pb2.ErrorResourceInitFailed(
            id=self.resource_id, properties=PropertyValue.marshal_map(self.properties), reasons=[str(self)]
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(self))
        status.details.add().Pack(failed)
        return (("grpc-status-details-bin", status.SerializeToString()),)


def nothing_explained(error: Exception) -> str | None:
    return None


class StandinServicer(ProviderServicer):
    """The experimental servicer with its gaps closed: `Attach`, and errors as plain sentences."""

    def __init__(
        self, name: str, provider: Provider, *, version: str, engine_address: str, explain: Explain
    ) -> None:
        super().__init__([], version, provider, engine_address=engine_address)
        self._name = name
        self._explain = explain

    async def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:
        """Without it PULUMI_DEBUG_PROVIDERS fails: the engine takes any error here as fatal."""
        return empty_pb2.Empty()

    async def GetSchema(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in {self._name} has no schema")

    async def Invoke(self, request: Any, context: Any) -> Any:
        sentence = f"the stand-in {self._name} answers no functions, asked for {request.tok}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, sentence)

    async def Configure(self, request: Any, context: Any) -> Any:
        return await self._told(super().Configure, request, context)

    async def Check(self, request: Any, context: Any) -> Any:
        return await self._told(super().Check, request, context)

    async def Diff(self, request: Any, context: Any) -> Any:
        return await self._told(super().Diff, request, context)

    async def Create(self, request: Any, context: Any) -> Any:
        return await self._told(super().Create, request, context)

    async def Read(self, request: Any, context: Any) -> Any:
        return await self._told(super().Read, request, context)

    async def Update(self, request: Any, context: Any) -> Any:
        return await self._told(super().Update, request, context)

    async def Delete(self, request: Any, context: Any) -> Any:
        return await self._told(super().Delete, request, context)

    async def _told(self, call: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any) -> Any:
        """Expected failures become the engine's error text; a surprise leaves its traceback on stderr."""
        try:
            return await call(request, context)
        except NotReady as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error), error.details())
        except Refused as error:
            sentence = str(error)
        except Exception as error:
            explained = self._explain(error)
            if explained is None:
                traceback.print_exc()
            sentence = explained or f"unexpected {type(error).__name__} in the stand-in {self._name}: {error}"
        await context.abort(grpc.StatusCode.INTERNAL, sentence)


async def serve(
    name: str,
    provider: Provider,
    *,
    version: str,
    engine_address: str,
    explain: Explain,
    servicer: type[StandinServicer] = StandinServicer,
) -> None:
    """Serve until a signal, or until the engine is gone: it leaves its plugins behind when it is killed."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    served = servicer(name, provider, version=version, engine_address=engine_address, explain=explain)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(served, server)
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


def serve_from_arguments(
    name: str,
    provider: Provider,
    *,
    version: str = "0.0.1",
    explain: Explain = nothing_explained,
    servicer: type[StandinServicer] = StandinServicer,
) -> None:
    """The main function of a stand-in's executable; the engine warns when `version` is not the SDK's."""
    parser = argparse.ArgumentParser(prog=f"pulumi-resource-{name}", description="A stand-in for tests")
    parser.add_argument("engine", nargs="?", default="", help="the engine's address, given by Pulumi")
    known, _ = parser.parse_known_args()
    asyncio.run(
        serve(
            name,
            provider,
            version=version,
            engine_address=known.engine,
            explain=explain,
            servicer=servicer,
        )
    )


def executable_write(folder: Path, *, name: str, module: str) -> Path:
    """An executable `name` in `folder` that calls `run()` of `module`, by the Python that runs the tests.

    A provider's name is `pulumi-resource-...`; the folder must be first on the PATH of the Pulumi CLI.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys\n\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"from {module} import run\n\n"
        "sys.exit(run())\n"
    )
    path.chmod(0o755)
    return path
