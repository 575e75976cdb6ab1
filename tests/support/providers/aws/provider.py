"""The handlers as a Pulumi provider: checks, differences with replacements, previews, and the work in threads."""

import asyncio
import hashlib
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
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

from stacks.providers.local.values import Properties, is_unknown, plain, properties
from tests.support.providers.aws.account import Account, Values, settings_read
from tests.support.providers.aws.handler import Handler
from tests.support.providers.aws.types import HANDLERS
from tests.support.providers.serving import Refused

#: Digests of the inputs a resource was last given: the engine does not tell a provider the old ones.
GIVEN = "__given"
_REPLACING = {
    PropertyDiffKind.ADD: PropertyDiffKind.ADD_REPLACE,
    PropertyDiffKind.DELETE: PropertyDiffKind.DELETE_REPLACE,
    PropertyDiffKind.UPDATE: PropertyDiffKind.UPDATE_REPLACE,
}


class AwsProvider(Provider):
    def __init__(self) -> None:
        self._account: Account | None = None
        self._settings: Values = {}
        self._lock = asyncio.Lock()

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self._settings = settings_read(plain(request.args))
        # A preview may configure with values that another resource has yet to make.
        if not is_unknown(self._settings):
            await self._aws()
        return ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: CheckRequest) -> CheckResponse:
        handler = handler_of(request.type)
        return CheckResponse(
            inputs=request.new_inputs, failures=input_failures(handler, plain(request.new_inputs))
        )

    async def diff(self, request: DiffRequest) -> DiffResponse:
        handler = handler_of(request.type)
        state, inputs = plain(request.old_state), plain(request.new_inputs)
        changes = input_changes(handler, state, inputs, self._default_tags)
        replaces = handler.replaces(state, inputs, set(changes)) if changes else set()
        if "region" in changes:
            replaces.add("region")
        detailed = {
            name: PropertyDiff(_REPLACING[kind] if name in replaces else kind, input_diff=name in inputs)
            for name, kind in changes.items()
        }
        return DiffResponse(
            changes=bool(changes),
            replaces=sorted(replaces),
            delete_before_replace=handler.NAME is not None and handler.NAME not in changes,
            diffs=sorted(changes),
            detailed_diff=detailed,
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        handler = handler_of(request.type)
        inputs = self._tagged(handler, plain(request.properties))
        if request.preview:
            unknown = properties(dict.fromkeys(handler.COMPUTED, UNKNOWN))
            return CreateResponse(
                resource_id="", properties={**unknown, **_tags_all(inputs), **request.properties}
            )
        aws = await self._aws()
        identifier = await asyncio.to_thread(handler.create, aws, inputs)
        seen = await asyncio.to_thread(handler.read, aws, identifier, inputs)
        if seen is None:
            raise Refused(f"{handler.TYPE} {identifier} was created and is not there")
        return CreateResponse(
            resource_id=identifier, properties=self._state(handler, seen, request.properties)
        )

    async def read(self, request: ReadRequest) -> ReadResponse:
        handler = handler_of(request.type)
        state = plain(request.properties)
        seen = await asyncio.to_thread(handler.read, await self._aws(), request.resource_id, state)
        if seen is None:
            return ReadResponse(resource_id="")
        inputs = request.inputs or properties(
            {name: value for name, value in seen.items() if name in handler.accepted()}
        )
        return ReadResponse(
            resource_id=request.resource_id,
            properties=self._state(handler, seen, inputs),
            inputs=inputs,
        )

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        handler = handler_of(request.type)
        state = plain(request.olds)
        inputs = self._tagged(handler, plain(request.news))
        changed = set(input_changes(handler, state, plain(request.news), self._default_tags))
        if request.preview:
            unknown = handler.recomputed(changed)
            known = {name: state[name] for name in handler.COMPUTED - unknown if name in state}
            computed = properties({**known, **dict.fromkeys(unknown, UNKNOWN)}, handler.SECRETS)
            return UpdateResponse(properties={**computed, **_tags_all(inputs), **request.news})
        aws = await self._aws()
        rest = changed - {"tags", "tagsAll"}
        if rest:
            await asyncio.to_thread(handler.update, aws, request.resource_id, state, inputs, rest)
        if handler.TAGGED and inputs["tagsAll"] != state.get("tagsAll"):
            gone = sorted(state.get("tagsAll", {}).keys() - inputs["tagsAll"].keys())
            await asyncio.to_thread(handler.tag, aws, request.resource_id, state, inputs["tagsAll"], gone)
        seen = await asyncio.to_thread(handler.read, aws, request.resource_id, state | inputs)
        if seen is None:
            raise Refused(f"{handler.TYPE} {request.resource_id} is not there any more")
        return UpdateResponse(properties=self._state(handler, seen, request.news))

    async def delete(self, request: DeleteRequest) -> None:
        handler = handler_of(request.type)
        aws = await self._aws()
        await asyncio.to_thread(handler.delete, aws, request.resource_id, plain(request.properties))

    async def cancel(self) -> None:
        """Every call is short, and the engine waits for it."""

    async def _aws(self) -> Account:
        async with self._lock:
            if self._account is None:
                self._account = await asyncio.to_thread(Account.configured, self._settings)
            return self._account

    @property
    def _default_tags(self) -> dict[str, str]:
        return dict((self._settings.get("defaultTags") or {}).get("tags") or {})

    def _tagged(self, handler: Handler, inputs: Values) -> Values:
        if not handler.TAGGED:
            return inputs
        tags = inputs.get("tags") or {}
        return inputs | {"tagsAll": UNKNOWN if is_unknown(tags) else self._default_tags | tags}

    def _state(self, handler: Handler, seen: Values, inputs: Properties) -> Properties:
        """Everything given, overwritten by what AWS shows; what came in as a secret goes out as one."""
        given = plain(inputs)
        state = given | seen
        if handler.TAGGED:
            tags_all = seen.get("tagsAll", {})
            tags = given.get("tags") or {}
            state["tags"] = {
                key: value
                for key, value in tags_all.items()
                if key in tags or self._default_tags.get(key) != value
            }
        state["region"] = given.get("region") or (self._account.region if self._account else None)
        state[GIVEN] = digests(handler, given)
        secret = handler.SECRETS | {name for name, value in inputs.items() if value.contains_secret()}
        return properties(state, secret)


def handler_of(resource_type: str) -> Handler:
    # A URN holds the types of all parents: `freehold:aws:Network$aws:ec2/vpc:Vpc`.
    name = resource_type.rsplit("$", 1)[-1]
    handler = HANDLERS.get(name)
    if handler is None:
        raise Refused(f"the stand-in for AWS does not know the type {name}: add a handler for it")
    return handler


def input_failures(handler: Handler, inputs: Values) -> list[CheckFailure]:
    """What is wrong with the inputs, by property. Values not yet known are taken as right."""
    given = {name: value for name, value in inputs.items() if not name.startswith("__")}
    missing = handler.REQUIRED - given.keys()
    unhandled = given.keys() - handler.accepted()
    known = {name: value for name, value in given.items() if not is_unknown(value)}
    return [
        *(CheckFailure(name, f"{handler.TYPE} needs {name}") for name in sorted(missing)),
        *(
            CheckFailure(name, f"the stand-in does not handle {name} of {handler.TYPE}")
            for name in sorted(unhandled)
        ),
        *(CheckFailure(name, reason) for name, reason in handler.invalid(known)),
    ]


def input_changes(
    handler: Handler, state: Values, inputs: Values, default_tags: dict[str, str]
) -> dict[str, PropertyDiffKind]:
    """Inputs given otherwise than before, and those that AWS shows otherwise than they were given."""
    before = state.get(GIVEN) or {}
    now = digests(handler, inputs)
    changes = {}
    for name in sorted((before.keys() | now.keys()) & handler.accepted()):
        if name not in now:
            changes[name] = PropertyDiffKind.DELETE
        elif name not in before and name not in state:
            changes[name] = PropertyDiffKind.ADD
        elif (
            is_unknown(inputs[name])
            or not handler.alike(name, inputs[name], state.get(name))
            or (name in before and before[name] != now[name])
        ):
            changes[name] = PropertyDiffKind.UPDATE
    if handler.TAGGED and "tags" not in changes:
        tags = inputs.get("tags") or {}
        if not is_unknown(tags) and default_tags | tags != state.get("tagsAll", {}):
            changes["tags" if tags != state.get("tags", {}) else "tagsAll"] = PropertyDiffKind.UPDATE
    return changes


def digests(handler: Handler, inputs: Values) -> dict[str, str]:
    """Of each input: enough to see that it was changed, and no secret in plain sight."""
    return {
        name: hashlib.sha256(_canonical(value, unordered=name in handler.UNORDERED).encode()).hexdigest()[:16]
        for name, value in inputs.items()
        if not name.startswith("__")
    }


def explained(error: Exception) -> str | None:
    """AWS's own words, where the failure is AWS's."""
    if isinstance(error, ClientError):
        details = error.response["Error"]
        return f"{error.operation_name}: {details['Code']}: {details['Message']}"
    if isinstance(error, BotoCoreError | FileExistsError | FileNotFoundError):
        return str(error)
    return None


def _canonical(value: Any, *, unordered: bool) -> str:
    """The same text for the same value; where the order of lists means nothing, for any order of them."""

    def settled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: settled(each) for name, each in part.items()}
        if isinstance(part, list):
            parts = [settled(each) for each in part]
            # Keys arrive in any order: without sorting them too, equal lists would be told apart now and then.
            return sorted(parts, key=lambda one: json.dumps(one, sort_keys=True)) if unordered else parts
        return part

    return json.dumps(settled(value), sort_keys=True)


def _tags_all(inputs: Values) -> Any:
    return properties({"tagsAll": inputs["tagsAll"]} if "tagsAll" in inputs else {})
