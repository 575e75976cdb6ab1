"""What one resource type is to the stand-in, and the few translations that all types share."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from botocore.exceptions import ClientError

from tests.support.providers.aws.account import Account, Values

Result = TypeVar("Result")
Proof = Literal["moto", "stand-in store"]
_NOT_FOUND = re.compile(r"NotFound|NoSuch")


class Handler(ABC):
    """A type under its official name. Inputs and outputs bear the official provider's names.

    `tagsAll` is what AWS shows as tags; a handler creates with `inputs["tagsAll"]` and reads it back.
    """

    TYPE: ClassVar[str]
    REQUIRED: ClassVar[frozenset[str]] = frozenset()
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    REPLACES: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change makes AWS, or the official provider, build a new one."""
    COMPUTED: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are only known afterwards."""
    SECRETS: ClassVar[frozenset[str]] = frozenset()
    NAME: ClassVar[str | None] = None
    """The input that is the physical name: old and new cannot stand side by side while it stays the same."""
    UNORDERED: ClassVar[frozenset[str]] = frozenset()
    """Lists whose order means nothing."""
    TAGGED: ClassVar[bool] = False
    PROVEN_BY: ClassVar[Proof] = "moto"

    @classmethod
    def accepted(cls) -> frozenset[str]:
        return cls.REQUIRED | cls.OPTIONAL | {"region"} | ({"tags"} if cls.TAGGED else set())

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        """What AWS would refuse, by input. Inputs not known yet are missing."""
        yield from ()

    def replaces(self, state: Values, inputs: Values, changed: set[str]) -> set[str]:
        return changed & self.REPLACES

    def recomputed(self, changed: set[str]) -> set[str]:
        """Computed outputs that an update of these inputs changes."""
        return set()

    def alike(self, name: str, given: Any, seen: Any) -> bool:
        """Whether what AWS shows is what was asked for."""
        return alike(given, seen, unordered=name in self.UNORDERED)

    @abstractmethod
    def create(self, aws: Account, inputs: Values) -> str:
        """Its id."""

    @abstractmethod
    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        """What AWS shows of it; None when it is not there."""

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        raise NotImplementedError(f"{self.TYPE} has nothing that can be updated, asked for {sorted(changed)}")

    @abstractmethod
    def delete(self, aws: Account, identifier: str, state: Values) -> None: ...

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        raise NotImplementedError(f"{self.TYPE} has no tags")


class StoredHandler(Handler):
    """A type that moto has not: its inputs are kept in the stand-in's store."""

    PROVEN_BY = "stand-in store"

    @abstractmethod
    def identify(self, aws: Account, inputs: Values) -> str: ...

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        return {}

    def before_create(self, aws: Account, inputs: Values) -> None:
        """Raises when AWS would refuse."""

    def before_delete(self, aws: Account, identifier: str, kept: Values) -> None:
        """Raises when AWS would refuse."""

    def create(self, aws: Account, inputs: Values) -> str:
        self.before_create(aws, inputs)
        identifier = self.identify(aws, inputs)
        if aws.get(self.TYPE, identifier) is not None:
            raise FileExistsError(f"{self.TYPE} {identifier} exists already")
        aws.put(self.TYPE, identifier, inputs | self.computed(aws, identifier, inputs))
        return identifier

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        return aws.get(self.TYPE, identifier)

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        kept = aws.get(self.TYPE, identifier)
        if kept is None:
            raise FileNotFoundError(f"{self.TYPE} {identifier} is not there")
        left = {name: value for name, value in kept.items() if name not in changed}
        aws.put(self.TYPE, identifier, left | inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        kept = aws.get(self.TYPE, identifier)
        if kept is not None:
            self.before_delete(aws, identifier, kept)
            aws.remove(self.TYPE, identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        kept = aws.get(self.TYPE, identifier) or {}
        left = {key: value for key, value in kept.get("tagsAll", {}).items() if key not in gone}
        aws.put(self.TYPE, identifier, kept | {"tagsAll": left | put})


def found(call: Callable[[], Result]) -> Result | None:
    """The call's answer; None when AWS says that the thing is not there."""
    try:
        return call()
    except ClientError as error:
        if _NOT_FOUND.search(error.response["Error"]["Code"]):
            return None
        raise


def pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def unpaired(tags: list[dict[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    return {tag[key]: tag[value] for tag in tags or []}


def arguments(inputs: Values, names: Mapping[str, str]) -> Values:
    """The API's arguments from the inputs that were given; `names` is input -> argument."""
    return {api: inputs[name] for name, api in names.items() if inputs.get(name) is not None}


def shown(answer: Mapping[str, Any], names: Mapping[str, str]) -> Values:
    """The other way: what the API answered, under the inputs' names."""
    return {name: answer[api] for name, api in names.items() if answer.get(api) is not None}


def pascal(value: Any) -> Any:
    """Keys as EC2 and S3 write them: `deviceName` becomes `DeviceName`."""
    if isinstance(value, Mapping):
        return {name[:1].upper() + name[1:]: pascal(part) for name, part in value.items()}
    return [pascal(part) for part in value] if isinstance(value, list) else value


def camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: camel(part) for name, part in value.items()}
    return [camel(part) for part in value] if isinstance(value, list) else value


def truth(value: Any) -> Any:
    """The official provider takes some booleans as texts, so that they can be left open."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def policy_document(text: Any) -> str:
    return text if isinstance(text, str) else json.dumps(text)


def alike(given: Any, seen: Any, *, unordered: bool = False) -> bool:
    """Whether everything given is seen; what AWS adds inside a structure is no difference."""
    if isinstance(given, Mapping) and isinstance(seen, Mapping):
        return all(alike(part, seen.get(name), unordered=unordered) for name, part in given.items())
    if isinstance(given, list) and isinstance(seen, list):
        if unordered or all(isinstance(part, str) for part in given):
            given, seen = sorted(given, key=_order), sorted(seen, key=_order)
        pairs_of_parts = zip(given, seen, strict=False)
        return len(given) == len(seen) and all(alike(one, other) for one, other in pairs_of_parts)
    if isinstance(given, str) and isinstance(seen, str) and given[:1] == "{":
        return bool(json.loads(given) == json.loads(seen))
    if given in (None, "", [], {}) and seen in (None, "", [], {}):
        return True
    if isinstance(given, bool) or isinstance(seen, bool):
        return given in (True, "true") if seen in (True, "true") else given in (False, "false", None)
    return bool(given == seen or str(given) == str(seen))


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
