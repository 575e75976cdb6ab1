"""State and events as JSON: messages, models, dataclasses and exceptions become plain data."""

import base64
from typing import Any

import orjson
from pydantic import BaseModel

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_UUID


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, BaseException):
        return {"error": type(value).__name__}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    # Unknown objects are named, not dumped: an object's repr may hold anything.
    return f"<{type(value).__name__}>"


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value


def dumps(value: Any) -> str:
    """JSON text that Postgres takes: the NUL character, which jsonb refuses, becomes U+FFFD."""
    data = orjson.dumps(value, default=_plain, option=_OPTIONS)
    if b"\\u0000" in data:
        data = orjson.dumps(_without_nul(orjson.loads(data)))
    return data.decode()


def plain(value: Any) -> Any:
    """The value as JSON would carry it."""
    return orjson.loads(dumps(value))
