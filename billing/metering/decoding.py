"""The fast way from a request's bytes to valid events: one pass to decode, one to check, one to write canonically.

It accepts only what the thorough judge (events.py) would accept, with the same outcome; a test holds the two against
each other. What it does not recognize at once it leaves to that judge, which finds the reason.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec

from billing.metering.events import (
    FUTURE_TOLERANCE,
    RejectedEvent,
    data_read,
    event_judge,
    numbers_of,
    values_of,
)
from billing.metering.facts import READERS, ValidEvent, tuple_getter
from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE, UsageEvent

Judged = ValidEvent | RejectedEvent
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
#: Members that may be absent stay so, so that the event is written again as it was.
_Count = int | str | msgspec.UnsetType
_Label = _Short | msgspec.UnsetType
_Whole = int | msgspec.UnsetType
_Flag = bool | msgspec.UnsetType
_UNSET: Final = msgspec.UNSET

#: More digits than a count of anything has; longer ones are for the thorough judge.
_DIGITS: Final = 18
_MOST: Final = 10**_DIGITS
#: RFC 3339 in its usual form. What else there is (lower case, nanoseconds) is for the thorough judge.
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:(Z|\+00:00)|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_OLDEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_JSON: Final = "application/json"


class _Data(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    pass


class _ModelData(_Data):
    run_id: _Short
    step: int | _Short
    user: _Short
    agent: _Short
    model: _Short
    agent_version: _Label = _UNSET
    input_tokens: _Count = _UNSET
    cached_input_tokens: _Count = _UNSET
    cache_write_tokens: _Count = _UNSET
    output_tokens: _Count = _UNSET
    reasoning_tokens: _Count = _UNSET


class _ToolData(_Data):
    run_id: _Short
    step: int | _Short
    user: _Short
    agent: _Short
    tool: _Short
    cached: _Flag = _UNSET
    duration_ms: _Count = _UNSET


class _RunData(_Data):
    run_id: _Short
    user: _Short
    agent: _Short
    outcome: Literal["success", "error", "timeout", "interrupted", "canceled"]
    duration_ms: _Count = _UNSET
    model_calls: _Whole = _UNSET
    tool_calls: _Whole = _UNSET


class _StorageData(_Data):
    component: _Short
    bytes: int | str


class _Envelope(msgspec.Struct, tag_field="type", forbid_unknown_fields=True, gc=False, kw_only=True):
    id: _Name
    source: _Name
    subject: _Name
    time: str
    specversion: Literal["1.0"] | msgspec.UnsetType = _UNSET
    datacontenttype: str | msgspec.UnsetType = _UNSET


class _ModelEvent(_Envelope, tag=MODEL_USAGE, kw_only=True):
    data: _ModelData


class _ToolEvent(_Envelope, tag=TOOL_USAGE, kw_only=True):
    data: _ToolData


class _RunEvent(_Envelope, tag=RUN_USAGE, kw_only=True):
    data: _RunData


class _StorageEvent(_Envelope, tag=STORAGE_USAGE, kw_only=True):
    data: _StorageData


UsualEvent = _ModelEvent | _ToolEvent | _RunEvent | _StorageEvent


@dataclass(frozen=True)
class _Getters:
    type: str
    texts: Any
    numbers: Any
    checked: Any | None


def _getters(event_type: str, besides: tuple[str, ...] = ()) -> _Getters:
    """`besides`: counts that no meter takes, which must be counts all the same."""
    reader = READERS[event_type]
    checked = tuple_getter(besides) if besides else None
    return _Getters(event_type, tuple_getter(reader.texts), tuple_getter(reader.figures), checked)


_GETTERS: Final[dict[type, _Getters]] = {
    _ModelEvent: _getters(MODEL_USAGE),
    _ToolEvent: _getters(TOOL_USAGE, ("duration_ms",)),
    _RunEvent: _getters(RUN_USAGE),
    _StorageEvent: _getters(STORAGE_USAGE),
}
_decode_usual: Final = msgspec.json.Decoder(list[UsualEvent]).decode
_decode_one: Final = msgspec.json.Decoder(UsualEvent).decode
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any: Final = msgspec.json.Decoder(float_hook=str).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def body_decode(body: bytes) -> Any:
    """Any JSON document. A number with a point becomes its text: a float would round token counts and bytes.

    Raises ValueError or RecursionError for what is not JSON.
    """
    try:
        return _decode_any(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        # What this decoder is stricter about (half a surrogate pair) must not fail the events beside it.
        return json.loads(body, parse_float=str)


def batch_decode(body: bytes) -> list[Any]:
    """The events of a JSON array: a UsualEvent for each that is like the runtime's, else what JSON says it is.

    Raises ValueError or RecursionError for what is not JSON, TypeError for what is not an array.
    """
    try:
        return _decode_usual(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        pass
    try:
        return [_usual_or_any(raw) for raw in _decode_raw(body)]
    except (msgspec.DecodeError, RecursionError, ValueError):
        document = body_decode(body)
    if not isinstance(document, list):
        raise TypeError("A batch must be a JSON array of events.")
    return document


def event_decode(body: bytes) -> Any:
    """The one event of a JSON object, as batch_decode gives each. Raises as it does."""
    document = _usual_or_any(msgspec.Raw(body))
    if not isinstance(document, _Envelope | dict):
        raise TypeError("A structured event must be a JSON object.")
    return document


def attribute_of(event: object, name: str) -> object:
    """An attribute of an event that batch_decode gave; None where it has none."""
    if isinstance(event, _Envelope):
        return getattr(event, name)
    return event.get(name) if isinstance(event, dict) else None


def _usual_or_any(raw: msgspec.Raw) -> Any:
    try:
        return _decode_one(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return body_decode(bytes(raw))


def events_judge(events: Sequence[object], *, subject: str, received_at: datetime) -> list[Judged]:
    """Judges each of them as event_judge does; UsualEvents several times faster."""
    latest = received_at + FUTURE_TOLERANCE
    prefix = f"/tenants/{subject}/"
    judged: list[Judged] = []
    for event in events:
        if isinstance(event, _Envelope):
            valid = _recognize(event, subject, prefix, latest)
            if valid is not None:
                judged.append(valid)
                continue
            event = _decode_any(_encode(event))
        judged.append(event_judge(event, subject=subject, received_at=received_at))
    return judged


def _recognize(event: Any, subject: str, prefix: str, latest: datetime) -> ValidEvent | None:
    """None where the thorough judge must look."""
    if event.subject != subject or not event.source.startswith(prefix):
        return None
    getters = _GETTERS[type(event)]
    data = event.data
    try:
        time, time_text = _time(event.time)
        numbers = _whole_numbers(getters.numbers(data))
        if getters.checked is not None:
            _whole_numbers(getters.checked(data))
    except (ValueError, OverflowError):
        return None
    if not _OLDEST <= time <= latest:
        return None
    body = _encode(event)
    if b"\\u0000" in body:
        return None
    same = body if event.datacontenttype is not _UNSET else _with_media_type(event)
    values = getters.texts(data)
    if _UNSET in values:
        values = tuple(False if value is _UNSET else value for value in values)
    return ValidEvent(
        event.source,
        event.id,
        getters.type,
        time,
        time_text,
        body,
        sha256(same).digest(),
        values,
        numbers,
    )


def _time(text: str) -> tuple[datetime, str]:
    """The moment, and how Postgres reads it. ValueError for what is not the usual form, or no moment."""
    found = _TIME(text)
    if found is None:
        raise ValueError(text)
    time = datetime.fromisoformat(text)
    if found[1]:  # it is in UTC then, as it says
        return time, text
    time = time.astimezone(UTC)
    return time, time.isoformat()


def _whole_numbers(counts: tuple[Any, ...]) -> tuple[int, ...]:
    """ValueError for anything but whole numbers of a usual length."""
    try:
        digits = "".join(counts)
    except TypeError:  # some are numbers or absent
        counts = tuple(str(0 if count is _UNSET else count) for count in counts)
        digits = "".join(counts)
    if counts and not (digits.isdecimal() and digits.isascii()):
        raise ValueError("not digits alone")
    numbers = tuple(map(int, counts))
    if len(digits) > _DIGITS and max(numbers) >= _MOST:
        raise ValueError("too long")
    return numbers


def _with_media_type(event: Any) -> bytes:
    return _encode(msgspec.structs.replace(event, datacontenttype=_JSON))


def stored_events(document: bytes) -> list[ValidEvent]:
    """What stored events count as, from their JSON array; they were judged valid when they came in. Without hashes."""
    return [_stored(event) for event in batch_decode(document)]


def stored_event(body: bytes) -> ValidEvent:
    """One of stored_events."""
    return _stored(_usual_or_any(msgspec.Raw(body)))


def _stored(event: Any) -> ValidEvent:
    if isinstance(event, _Envelope):
        try:
            return _stored_usual(event)
        except (ValueError, OverflowError):
            event = _decode_any(_encode(event))
    known = UsageEvent.model_validate(event)
    data, reader = data_read(known.type, known.data), READERS[known.type]
    time = known.time.astimezone(UTC)
    return ValidEvent(
        known.source,
        known.id,
        known.type,
        time,
        "",
        b"",
        b"",
        values_of(reader, data),
        numbers_of(reader, data),
    )


def _stored_usual(event: Any) -> ValidEvent:
    getters = _GETTERS[type(event)]
    time, _ = _time(event.time)
    numbers, values = _whole_numbers(getters.numbers(event.data)), getters.texts(event.data)
    if _UNSET in values:
        values = tuple(False if value is _UNSET else value for value in values)
    return ValidEvent(event.source, event.id, getters.type, time, "", b"", b"", values, numbers)
