"""The executable `pulumi-resource-kubernetes` of tests, and where the engine finds it.

The engine hands over the old inputs, which the SDK's own servicer leaves out, and hears the apiserver's warnings.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import DiffResponse
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2

from stacks.providers.local.values import plain
from tests.support.providers.kubernetes.provider import KubernetesProvider
from tests.support.providers.serving import Explain, StandinServicer, executable_write, serve_from_arguments

_SOME = provider_pb2.DiffResponse.DIFF_SOME
_NONE = provider_pb2.DiffResponse.DIFF_NONE


class KubernetesServicer(StandinServicer):
    def __init__(
        self, name: str, provider: KubernetesProvider, *, version: str, engine_address: str, explain: Explain
    ) -> None:
        super().__init__(name, provider, version=version, engine_address=engine_address, explain=explain)
        self._kubernetes = provider
        self._engine = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(engine_address))
        provider.warn = self._warn

    async def DiffConfig(self, request: Any, context: Any) -> Any:
        return await self._told(self._diff_config, request, context)

    async def _diff_config(self, request: Any, context: Any) -> Any:
        old, new = _plain(request.old_inputs), _plain(request.news)
        replaces = self._kubernetes.compare_config(old, new)
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return provider_pb2.DiffResponse(
            changes=_SOME if changed else _NONE, replaces=replaces, diffs=changed
        )

    async def Diff(self, request: Any, context: Any) -> Any:
        return await self._told(self._diff, request, context)

    async def _diff(self, request: Any, context: Any) -> Any:
        resource_type = request.type or request.urn.split("::")[2]
        return _encoded(
            self._kubernetes.compare(resource_type, _plain(request.old_inputs), _plain(request.news))
        )

    async def _warn(self, urn: str, text: str) -> None:
        await self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=text, urn=urn))


def provider_folder(folder: Path) -> Path:
    """`folder` with the executable in it, to be put first on the engine's PATH."""
    executable_write(
        folder, name="pulumi-resource-kubernetes", module="tests.support.providers.kubernetes.server"
    )
    return folder


def run() -> None:
    serve_from_arguments(
        "kubernetes",
        KubernetesProvider(),
        version=version("pulumi-kubernetes"),
        servicer=KubernetesServicer,
    )


def _encoded(answer: DiffResponse) -> Any:
    kinds = provider_pb2.PropertyDiff.Kind
    return provider_pb2.DiffResponse(
        changes=_SOME if answer.changes else _NONE,
        replaces=answer.replaces,
        diffs=answer.diffs,
        deleteBeforeReplace=answer.delete_before_replace,
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=kinds.Value(each.kind.name), inputDiff=each.input_diff)
            for path, each in (answer.detailed_diff or {}).items()
        },
        hasDetailedDiff=True,
    )


def _plain(struct: Any) -> dict[str, Any]:
    return plain(PropertyValue.unmarshal_map(struct))
