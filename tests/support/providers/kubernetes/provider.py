"""The objects of a cluster as Pulumi resources: what is checked, compared, foretold, made, awaited and deleted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import urllib3
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffResponse,
    PropertyDiff,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.runtime.rpc import UNKNOWN

from stacks.providers.local.values import Properties, is_unknown, plain, properties
from tests.support.providers.kubernetes.api import Api, ApiError
from tests.support.providers.kubernetes.differences import differences, replaced_roots, replacing
from tests.support.providers.kubernetes.kinds import Kind, kind_of
from tests.support.providers.kubernetes.lifecycle import delete, identity_of, namespace_of, ready
from tests.support.providers.kubernetes.live import (
    drifted,
    foretold,
    outputs,
    secrets_kept,
    without_volatile,
)
from tests.support.providers.kubernetes.settings import Settings, another_cluster
from tests.support.providers.serving import Refused

READY_TIMEOUT_S = 60.0
DELETE_TIMEOUT_S = 120.0

#: Of requests at once: each that waits for an object holds one.
_THREADS = 64
_NAMESPACE = kind_of("kubernetes:core/v1:Namespace")
#: As which a change of what must not change is refused.
_INVALID = 422
_AUTONAMED = "pulumi.com/autonamed"
_PATCH_FORCE = "pulumi.com/patchForce"

Object = dict[str, Any]
Result = TypeVar("Result")
#: Tells the person who runs the program something about a resource: (URN, text).
Warn = Callable[[str, str], Awaitable[None]]


class KubernetesProvider(Provider):
    """`warn` is set by whoever serves it."""

    warn: Warn

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self.settings = Settings()
        self._api: Api | None = None

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self.settings = Settings.of(plain(request.args))
        if self.settings.kubeconfig is not None:
            self._api = Api.of(self.settings.kubeconfig, self.settings.context)
        return ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: CheckRequest) -> CheckResponse:
        kind = kind_of(request.type)
        wanted = plain(request.new_inputs)
        if wanted.get("metadata") == UNKNOWN:
            return CheckResponse(inputs=request.new_inputs)
        metadata = dict(wanted.get("metadata") or {})
        failures = []
        for name, value in (("apiVersion", kind.api_version), ("kind", kind.kind)):
            if wanted.setdefault(name, value) != value:
                failures.append(CheckFailure(name, f"{kind.kind} has the {name} {value}"))
        if kind.namespaced:
            metadata.setdefault("namespace", self.settings.namespace)
        elif metadata.pop("namespace", None):
            failures.append(CheckFailure("metadata.namespace", f"a {kind.kind} has no namespace"))
        if "name" not in metadata:
            old = (plain(request.old_inputs).get("metadata") or {}).get("name")
            metadata["name"] = old or f"{request.urn.rsplit('::', 1)[-1]}-{request.random_seed.hex()[:8]}"
            metadata["annotations"] = {**metadata.get("annotations", {}), _AUTONAMED: "true"}
        wanted["metadata"] = metadata
        return CheckResponse(inputs=secrets_kept(wanted, request.new_inputs), failures=failures)

    def compare_config(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """The official plugin replaces itself, and with it every object, when it is pointed at another cluster."""
        return ["kubeconfig"] if another_cluster(old, new) else []

    def compare(self, resource_type: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> DiffResponse:
        """A property that Kubernetes does not let change, or that the plugin will not, forces a replacement."""
        kind = kind_of(resource_type)
        changes = replacing(differences(old, new), kind, self._held_data(old, new))
        before, after = old.get("metadata", {}), new.get("metadata", {})
        stays = all(before.get(each) == after.get(each) for each in ("name", "namespace"))
        return DiffResponse(
            changes=bool(changes),
            replaces=replaced_roots(changes),
            # Two objects of one name cannot be there at once.
            delete_before_replace=stays,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in changes}),
            detailed_diff={path: PropertyDiff(change, input_diff=True) for path, change in changes.items()},
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        kind, wanted = kind_of(request.type), plain(request.properties)
        identity = identity_of(wanted)
        if request.preview:
            told = await self._foretell(request.urn, kind, wanted, None)
            return CreateResponse(resource_id="", properties=_previewed(told, request.properties))

        def work() -> tuple[Object, list[str]]:
            existing = self._client().get(kind, namespace_of(wanted), wanted["metadata"]["name"])
            if existing is not None and not self.settings.upsert:
                raise Refused(f"{kind.kind} {identity} exists already and belongs to nobody's stack here")
            return self._client().apply(kind, wanted, force=self._forces(wanted))

        live = await self._settle(request.urn, kind, request.properties, work, request.timeout)
        return CreateResponse(resource_id=identity, properties=outputs(live, request.properties))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        kind, wanted = kind_of(request.type), plain(request.news)
        if request.preview:
            told = await self._foretell(request.urn, kind, wanted, plain(request.olds))
            return UpdateResponse(properties=_previewed(told, request.news))
        live = await self._settle(
            request.urn,
            kind,
            request.news,
            lambda: self._client().apply(kind, wanted, force=self._forces(wanted)),
            request.timeout,
        )
        return UpdateResponse(properties=outputs(live, request.news))

    async def read(self, request: ReadRequest) -> ReadResponse:
        kind = kind_of(request.type)
        namespace, name = _parts(request.resource_id)
        try:
            live = await self._in_thread(lambda: self._client().get(kind, namespace, name))
        except urllib3.exceptions.HTTPError as error:
            self._unreachable(error)
            live = None
        if live is None:
            return ReadResponse(resource_id="")
        if request.inputs:
            inputs = secrets_kept(drifted(plain(request.inputs), live), request.inputs)
        else:
            inputs = outputs(without_volatile(live), {})
        return ReadResponse(resource_id=request.resource_id, properties=outputs(live, inputs), inputs=inputs)

    async def delete(self, request: DeleteRequest) -> None:
        kind = kind_of(request.type)
        namespace, name = _parts(request.resource_id)
        timeout_s = request.timeout or DELETE_TIMEOUT_S
        try:
            await self._in_thread(lambda: delete(self._client(), kind, namespace, name, timeout_s))
        except urllib3.exceptions.HTTPError as error:
            self._unreachable(error)

    async def cancel(self) -> None:
        """Whatever waits has a deadline of its own, and the engine waits for it."""

    # --- the work, in threads ------------------------------------------------------------------------------
    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _client(self) -> Api:
        if self._api is None:
            raise Refused("the provider has no kubeconfig, so nothing can be changed in a cluster")
        return self._api

    async def _settle(
        self,
        urn: str,
        kind: Kind,
        inputs: Properties,
        work: Callable[[], tuple[Object, list[str]]],
        timeout_s: float,
    ) -> Object:
        """Does the work, passes the apiserver's warnings on, and waits until the object is ready."""
        wanted = plain(inputs)
        try:
            _, warnings = await self._in_thread(work)
        except ApiError as refused:
            raise _told(refused, kind, wanted) from refused
        for each in warnings:
            await self.warn(urn, each)
        return await self._in_thread(
            lambda: ready(self._client(), kind, inputs, timeout_s or READY_TIMEOUT_S)
        )

    async def _foretell(self, urn: str, kind: Kind, wanted: Object, old: Object | None) -> Object:
        """What the apiserver would make of it, by a dry run; the inputs where it cannot be asked yet."""
        api = self._api
        if api is None or is_unknown(wanted):
            return wanted

        def work() -> tuple[Object, list[str]] | None:
            if kind.namespaced and api.get(_NAMESPACE, None, str(namespace_of(wanted))) is None:
                return None
            # A replaced object is still there under its name: its fields are about to be gone, so no conflict.
            return api.apply(kind, wanted, dry_run=True, force=old is None or self._forces(wanted))

        try:
            answer = await self._in_thread(work)
        except ApiError as refused:
            if old is None and refused.code == _INVALID and await self._is_replaced(kind, wanted):
                return wanted
            raise _told(refused, kind, wanted) from refused
        except urllib3.exceptions.HTTPError as error:
            await self.warn(
                urn, f"the cluster is not reachable, so the preview shows the inputs only: {error}"
            )
            return wanted
        if answer is None:
            return wanted
        for each in answer[1]:
            await self.warn(urn, each)
        return foretold(answer[0], wanted, old)

    async def _is_replaced(self, kind: Kind, wanted: Object) -> bool:
        """Whether the object to be made is there still, because its deletion is only planned."""
        name = wanted["metadata"]["name"]
        live = await self._in_thread(lambda: self._client().get(kind, namespace_of(wanted), name))
        return live is not None

    def _forces(self, wanted: Object) -> bool:
        """As the official plugin: fields that somebody else took are a conflict, unless the program says so."""
        annotations = wanted["metadata"].get("annotations") or {}
        return self.settings.patch_force or annotations.get(_PATCH_FORCE) == "true"

    def _held_data(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
        """The official plugin replaces a Secret or ConfigMap whose data changes, unless it is told otherwise."""
        immutable = bool(old.get("immutable") or new.get("immutable"))
        if new.get("kind") == "Secret" and (immutable or not self.settings.secret_mutable):
            return ("data", "stringData")
        if new.get("kind") == "ConfigMap" and (immutable or not self.settings.config_map_mutable):
            return ("data", "binaryData")
        return ()

    def _unreachable(self, error: Exception) -> None:
        """Returns when what is in an unreachable cluster counts as deleted."""
        if not self.settings.delete_unreachable:
            raise Refused(
                f"the cluster is not reachable: {error}. If it is gone for good, PULUMI_K8S_DELETE_UNREACHABLE=true "
                "takes what was in it out of the stack's state."
            ) from error


def _previewed(told: Object, inputs: Properties) -> Properties:
    return outputs(told, inputs) if "metadata" in told else properties(told)


def _parts(identity: str) -> tuple[str | None, str]:
    namespace, _, name = identity.rpartition("/")
    return namespace or None, name


def _told(refused: ApiError, kind: Kind, wanted: Object) -> Refused:
    hint = ""
    if refused.code == 409 and "conflict" in str(refused):
        hint = (
            " Somebody else changed these fields: set enable_patch_force on the provider, or the annotation "
            f"{_PATCH_FORCE}, to take them back."
        )
    return Refused(f"the apiserver refuses {kind.kind} {identity_of(wanted)}: {refused}{hint}")
