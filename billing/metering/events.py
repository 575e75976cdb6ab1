"""Judges one raw event: is it valid, and what does it count as? Pure; storing is in services.

This is the thorough judge, which names what is wrong. Most events never see it: decoding.py recognizes the usual
ones several times faster, and hands everything else to this one, so that there is one set of reasons.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from billing.metering.catalogue import METERS_BY_EVENT, Meter
from billing.metering.facts import READERS, Number, Reader, ValidEvent
from contracts.usage import DATA_TYPES, UsageData, UsageEvent

#: Clocks differ a little; an event further ahead than this is a wrong clock, and would be billed in a wrong
#: period.
FUTURE_TOLERANCE = timedelta(minutes=5)
#: JSON escapes NUL as \u0000 (after an even number of backslashes); Postgres can store it in no text.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True)
class RejectedEvent:
    """`event_id` is what the sender called it, as far as that could be read."""

    event_id: str
    reason: str


class _Refused(Exception):
    pass


def event_judge(raw: object, *, subject: str, received_at: datetime) -> ValidEvent | RejectedEvent:
    """`subject` is the slug of the tenant the events were sent for. Never raises for a bad event."""
    event_id = raw.get("id") if isinstance(raw, Mapping) else None
    known_id = event_id if isinstance(event_id, str) else ""
    try:
        return _judge(raw, subject=subject, received_at=received_at)
    except _Refused as refused:
        return RejectedEvent(known_id, str(refused))
    except ValidationError as error:
        return RejectedEvent(known_id, _first_problem(error))
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # Not JSON at all, a number without end, half a surrogate pair, a time outside the calendar.
        return RejectedEvent(known_id, f"cannot be stored: {type(error).__name__}")


def canonical_json(value: object) -> str:
    """Sorted keys, no spaces, no NaN; decimals (from a parser that keeps them) as strings."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )


def _judge(raw: object, *, subject: str, received_at: datetime) -> ValidEvent:
    if not isinstance(raw, Mapping):
        raise _Refused("an event must be a JSON object")
    if not isinstance(raw.get("time"), str):
        raise _Refused("time: must be an RFC 3339 text")
    event = UsageEvent.model_validate(raw)
    body = canonical_json(raw)
    # An event is the same with the media type that it has anyway, spelled out or not: its mode of sending decides.
    same = canonical_json({"datacontenttype": "application/json", **raw})
    if _NUL.search(body):
        raise _Refused("contains the character U+0000")
    data_type = DATA_TYPES.get(event.type)
    if data_type is None:
        raise _Refused(f"type: {event.type!r} is not known; known are {', '.join(DATA_TYPES)}")
    if event.subject != subject:
        raise _Refused(f"subject: must be {subject!r}")
    if not event.source.startswith(f"/tenants/{subject}/"):
        raise _Refused(f"source: must start with '/tenants/{subject}/'")
    time = event.time.astimezone(UTC)
    if time > received_at + FUTURE_TOLERANCE:
        raise _Refused("time: lies more than 5 minutes in the future")
    meters = METERS_BY_EVENT[event.type]
    _floats_refuse(event.data, meters)
    data = data_type.model_validate(event.data)
    _fractions_refuse(data, meters)
    reader = READERS[event.type]
    return ValidEvent(
        source=event.source,
        event_id=event.id,
        type=event.type,
        time=time,
        time_text=time.isoformat(),
        body=body.encode(),
        body_hash=hashlib.sha256(same.encode()).digest(),
        values=values_of(reader, data),
        numbers=numbers_of(reader, data),
    )


def data_read(event_type: str, data: object) -> UsageData:
    """The data of an event that was judged before."""
    return DATA_TYPES[event_type].model_validate(data)


def values_of(reader: Reader, data: UsageData) -> tuple[Any, ...]:
    return tuple(getattr(data, name) for name in reader.texts)


def numbers_of(reader: Reader, data: UsageData) -> tuple[Number, ...]:
    return tuple(_number(getattr(data, name)) for name in reader.figures)


def _floats_refuse(data: Mapping[str, Any], meters: tuple[Meter, ...]) -> None:
    for meter in meters:
        if meter.value is not None and isinstance(data.get(meter.value), float | bool):
            raise _Refused(f"data.{meter.value}: must be an integer or a decimal string")


def _fractions_refuse(data: UsageData, meters: tuple[Meter, ...]) -> None:
    for meter in meters:
        if meter.unit == "token" and meter.value is not None:
            value: Decimal = getattr(data, meter.value)
            if value != value.to_integral_value():
                raise _Refused(f"data.{meter.value}: must be a whole number")


def _number(value: Decimal) -> Number:
    whole = int(value)
    return whole if whole == value else value


def _plain(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    prefix = "data." if error.title in {kind.__name__ for kind in DATA_TYPES.values()} else ""
    return f"{prefix}{where}: {problem['msg']}"
