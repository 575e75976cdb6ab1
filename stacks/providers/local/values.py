"""Plain Python values from Pulumi's property values, and back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN

Properties = dict[str, PropertyValue]


def plain(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """Values without their secret marks, nulls left out; whole numbers as int; UNKNOWN stays that text."""
    return {name: _plain(value) for name, value in properties.items() if value.value is not None}


def properties(values: Mapping[str, Any], secret: Iterable[str] = ()) -> Properties:
    """Property values; those named in `secret` are marked, so that the engine encrypts them."""
    hidden = frozenset(secret)
    return {
        name: _property(value).with_secret(name in hidden)
        for name, value in values.items()
        if value is not None
    }


def is_unknown(value: Any) -> bool:
    """True when the value, or a part of it, is only known after another resource was made."""
    if isinstance(value, str):
        return value == UNKNOWN
    if isinstance(value, dict):
        return any(is_unknown(part) for part in value.values())
    return isinstance(value, list) and any(is_unknown(part) for part in value)


def _plain(value: PropertyValue) -> Any:
    inner = value.value
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    if isinstance(inner, Mapping):
        return plain(inner)
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [_plain(part) for part in inner]
    return inner


def _property(value: Any) -> PropertyValue:
    # bool first: it is an int to Python.
    if value is None or isinstance(value, bool | str):
        return PropertyValue(value)
    if isinstance(value, int | float):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue(properties(value))
    return PropertyValue([_property(part) for part in value])
