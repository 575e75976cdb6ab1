"""The handlers as a Pulumi provider: validation, differences and previews; the work runs in threads."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    PropertyDiff,
    PropertyDiffKind,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.runtime.rpc import UNKNOWN
from pydantic import ValidationError

from embedded.crashpoints import crash_point, crash_points_on
from stacks.errors import InputInvalid
from stacks.providers.local.handlers import HANDLERS, Handler, Values
from stacks.providers.local.values import Properties, is_unknown, plain, properties

Result = TypeVar("Result")


class LocalProvider(Provider):
    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        return ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: CheckRequest) -> CheckResponse:
        handler = _handler(request.type)
        values = plain(request.new_inputs)
        failures = input_failures(handler, values)
        if failures:
            return CheckResponse(inputs=request.new_inputs, failures=failures)
        given = {name: value for name, value in request.new_inputs.items() if name in values}
        return CheckResponse(inputs={**properties(input_defaults(handler, values)), **given})

    async def diff(self, request: DiffRequest) -> DiffResponse:
        handler = _handler(request.type)
        inputs = plain(request.new_inputs)
        repairs = handler.repairs(inputs)
        changes = input_changes(handler, plain(request.old_state), inputs)
        replaces = sorted(changes.keys() & handler.REPLACES)
        detailed = {}
        for name, kind in changes.items():
            if name in handler.REPLACES:
                kind = _REPLACING[kind]
            detailed[name] = PropertyDiff(kind, input_diff=name not in repairs)
        return DiffResponse(
            changes=bool(changes),
            replaces=replaces,
            # Old and new would be one folder and one port.
            delete_before_replace=True,
            diffs=sorted(changes),
            detailed_diff=detailed,
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        handler = _handler(request.type)
        values = plain(request.properties)
        if request.preview:
            unknown = dict.fromkeys(handler.COMPUTED, UNKNOWN)
            return CreateResponse(
                resource_id="",
                properties={**properties(unknown | handler.predict(values)), **request.properties},
            )
        outputs = await _work("create", handler, values, lambda: handler.create(handler.parse(values)))
        return CreateResponse(
            resource_id=handler.identify(values),
            properties=_state(handler, outputs, request.properties),
        )

    async def read(self, request: ReadRequest) -> ReadResponse:
        handler = _handler(request.type)
        outputs = await asyncio.to_thread(handler.read, request.resource_id, plain(request.properties))
        if outputs is None:
            return ReadResponse(resource_id="")
        state = _state(handler, outputs, request.inputs)
        inputs = request.inputs or {name: state[name] for name in handler.MODEL.model_fields if name in state}
        return ReadResponse(resource_id=request.resource_id, properties=state, inputs=inputs)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        handler = _handler(request.type)
        values = plain(request.news)
        if request.preview:
            computed = _predict_update(handler, plain(request.olds), values)
            return UpdateResponse(properties={**properties(computed, handler.SECRETS), **request.news})
        outputs = await _work("update", handler, values, lambda: handler.update(handler.parse(values)))
        return UpdateResponse(properties=_state(handler, outputs, request.news))

    async def delete(self, request: DeleteRequest) -> None:
        handler = _handler(request.type)
        values = plain(request.properties)
        await _work("delete", handler, values, lambda: handler.delete(request.resource_id, values))

    async def cancel(self) -> None:
        """Running work has deadlines of its own, and the engine waits for it."""


async def _work(verb: str, handler: Handler[Any], values: Values, work: Callable[[], Result]) -> Result:
    """Runs the handler in a thread, with a crash point before and after it."""
    part = str(values.get("component") or type(handler).__name__.removesuffix("Handler").lower())

    def between() -> Result:
        if (
            crash_points_on()
            and verb == "create"
            and handler.read(handler.identify(values), values) is not None
        ):
            crash_point(f"provider.create.{part}.existing")
        crash_point(f"provider.{verb}.{part}.begin")
        result = work()
        crash_point(f"provider.{verb}.{part}.done")
        return result

    return await asyncio.to_thread(between)


def input_failures(handler: Handler[Any], values: Values) -> list[CheckFailure]:
    """What is wrong with the inputs, by property. Values not yet known are taken as right."""
    unknown = {name for name, value in values.items() if is_unknown(value)}
    try:
        handler.MODEL.model_validate({name: value for name, value in values.items() if name not in unknown})
    except ValidationError as error:
        found = [(str(detail["loc"][0]), detail["msg"]) for detail in error.errors()]
        return [CheckFailure(name, reason) for name, reason in found if name not in unknown]
    return []


def input_defaults(handler: Handler[Any], values: Values) -> Values:
    """Defaults of what was not given: with them in the state, a changed default shows as a change."""
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in handler.MODEL.model_fields.items()
        if name not in values and not field.is_required()
    }
    return {name: value for name, value in defaults.items() if value is not None}


def input_changes(handler: Handler[Any], state: Values, inputs: Values) -> dict[str, PropertyDiffKind]:
    """Properties that differ between the state and the wanted inputs, and those that need repair."""
    changes = {}
    for name in handler.MODEL.model_fields:
        old, new = state.get(name), inputs.get(name)
        if old == new:
            continue
        if old is None:
            changes[name] = PropertyDiffKind.ADD
        elif new is None:
            changes[name] = PropertyDiffKind.DELETE
        else:
            changes[name] = PropertyDiffKind.UPDATE
    for name, wanted in handler.repairs(inputs).items():
        if state.get(name) != wanted:
            changes[name] = PropertyDiffKind.UPDATE
    return changes


_REPLACING = {
    PropertyDiffKind.ADD: PropertyDiffKind.ADD_REPLACE,
    PropertyDiffKind.DELETE: PropertyDiffKind.DELETE_REPLACE,
    PropertyDiffKind.UPDATE: PropertyDiffKind.UPDATE_REPLACE,
}

#: Inputs that a server's address is made of.
_ADDRESS = ("port", "database", "owner", "credentials")


def _handler(resource_type: str) -> Handler[Any]:
    # A URN holds the types of all parents: `freehold:local:Postgres$local:index:PostgresServer`.
    name = resource_type.rsplit("$", 1)[-1]
    handler = HANDLERS.get(name)
    if handler is None:
        raise InputInvalid(f"the provider has no resource type {name}: it has {', '.join(HANDLERS)}")
    return handler


def _predict_update(handler: Handler[Any], state: Values, inputs: Values) -> Values:
    """Computed outputs stay known in a preview, so that a restart is not shown as a change of dependants."""
    computed = {name: state.get(name, UNKNOWN) for name in handler.COMPUTED}
    if "url" in computed and any(state.get(name) != inputs.get(name) for name in _ADDRESS):
        computed["url"] = UNKNOWN
    if "password" in computed and state.get("credentials", 1) != inputs.get("credentials"):
        computed["password"] = UNKNOWN
    if "gpus" in computed and state.get("count") != inputs.get("count"):
        computed |= {"gpus": UNKNOWN, "note": UNKNOWN, "since": UNKNOWN}
    return computed | handler.predict(inputs)


def _state(handler: Handler[Any], outputs: Values, inputs: Properties) -> Properties:
    """Outputs as property values; what came in as a secret goes out as one."""
    secret = handler.SECRETS | {name for name, value in inputs.items() if value.contains_secret()}
    return properties(outputs, secret)
