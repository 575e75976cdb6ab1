"""Holds what the product stored and answered against the generator's ledger; says all that is lost, doubled or wrong.

The tables are read by a connection of its own, with plain SQL: no code of the product stands between.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import psycopg
import zstandard

from tests.billing.crash.generator import Stream
from tests.billing.crash.ledger import COUNTED, Ledger, pairs_of
from tests.billing.crash.sender import Answered

SHOWN = 4


def answers_wrong(stream: Stream, journals: Iterable[list[Answered]]) -> list[str]:
    """What senders of one stream were told, held against what the ingest would say if nothing ever failed.

    Whoever sent a batch twice, or is not the only one to send it, may read `duplicate` for what was accepted; nobody
    may read `accepted` twice.
    """
    found: list[str] = []
    told = list(journals)
    accepted: Counter[str] = Counter()
    for answered in told:
        for line, batch in zip(answered, stream.batches(), strict=False):
            sole = line.attempts == 1 and len(told) == 1
            for each, outcome in zip(batch, line.outcomes, strict=True):
                known = {each.outcome} if sole or each.outcome not in _TAKEN else _TAKEN
                if outcome == "accepted":
                    accepted[each.event["id"]] += 1
                if outcome not in known:
                    about = f"{stream.source} {each.event['id']} in batch {line.batch}"
                    found.append(f"answer: {about} was {outcome}, expected {each.outcome}")
    doubled = [name for name, times in accepted.items() if times > 1]
    return found + [f"doubled: accepted twice: {stream.source} {name}" for name in doubled]


_TAKEN = {"accepted", "duplicate"}


def stored_wrong(url: str, ledger: Ledger, tenants: Mapping[str, str]) -> list[str]:
    """Keys, raw events, rollups and samples of these tenants (slug -> id)."""
    slugs = {UUID(value): slug for slug, value in tenants.items()}
    with psycopg.connect(url) as connection:
        found = _keys_wrong(connection, ledger, slugs)
        found += _events_wrong(connection, ledger, slugs)
        found += _rollups_wrong(connection, ledger, slugs)
        found += _samples_wrong(connection, ledger, slugs)
    return found


def usage_wrong(
    about: str, answer: Mapping[str, Any], expected: Mapping[tuple[datetime, str | None], Fraction]
) -> list[str]:
    """An answer of the usage query; windows that come to zero may be there or not."""
    got = {
        (datetime.fromisoformat(result["from"]), result["group"]): Fraction(result["value"])
        for result in answer["results"]
    }
    return _differences(f"query: {about}", _without_zeros(got), _without_zeros(expected))


def stored_print(url: str) -> list[tuple[Any, ...]]:
    """Everything that is stored, to see that something changed nothing."""
    with psycopg.connect(url) as connection:
        keys = connection.execute("SELECT tenant_id, source, event_id, body_hash FROM billing_usageeventkey")
        rows = [("key", *row) for row in keys.fetchall()]
        rows += [
            ("event", tenant, json.dumps(body, sort_keys=True)) for tenant, body in raw_events(connection)
        ]
        sums = connection.execute(
            "SELECT tenant_id, meter, bucket, dimensions::text, value FROM billing_usagerollup"
        )
        rows += [("rollup", *row) for row in sums.fetchall()]
        gauges = connection.execute(
            "SELECT tenant_id, meter, component, time, source, event_id, value FROM billing_gaugesample"
        )
        rows += [("sample", *row) for row in gauges.fetchall()]
    return sorted(rows, key=repr)


def raw_events(connection: Any) -> list[tuple[UUID, dict[str, Any]]]:
    """(tenant, body) of every stored event."""
    chunks = connection.execute("SELECT tenant_id, events, body FROM billing_usageeventchunk").fetchall()
    found = []
    for tenant, events, packed in chunks:
        bodies = json.loads(zstandard.ZstdDecompressor().decompress(packed))
        assert len(bodies) == events, "a chunk holds another number of events than it says"
        found += [(tenant, body) for body in bodies]
    return found


def _keys_wrong(connection: Any, ledger: Ledger, slugs: Mapping[UUID, str]) -> list[str]:
    rows = connection.execute("SELECT tenant_id, source, event_id FROM billing_usageeventkey").fetchall()
    got = {(slugs.get(tenant, str(tenant)), source, event_id) for tenant, source, event_id in rows}
    lost, extra = sorted(set(ledger.facts) - got), sorted(got - set(ledger.facts))
    found = [f"lost: no id of {key}" for key in lost[:SHOWN]]
    return found + [f"doubled: an id nobody sent or that was counted before: {key}" for key in extra[:SHOWN]]


def _events_wrong(connection: Any, ledger: Ledger, slugs: Mapping[UUID, str]) -> list[str]:
    rows = [
        (tenant, body["source"], body["id"], datetime.fromisoformat(body["time"]), body)
        for tenant, body in raw_events(connection)
    ]
    times = Counter((slugs.get(row[0], str(row[0])), row[1], row[2]) for row in rows)
    found = [f"lost: no raw event of {key}" for key in sorted(set(ledger.facts) - set(times))[:SHOWN]]
    found += [f"doubled: {count} raw events of {key}" for key, count in times.items() if count > 1][:SHOWN]
    for tenant, source, event_id, time, body in rows:
        fact = ledger.facts.get((slugs.get(tenant, str(tenant)), source, event_id))
        if fact is None:
            found.append(f"doubled: a raw event nobody sent: {source} {event_id}")
        elif (time, body) != (fact.time, fact.body):
            found.append(f"altered: the raw event of {fact.key} is not the first body that was sent")
    return found[: 4 * SHOWN]


def _rollups_wrong(connection: Any, ledger: Ledger, slugs: Mapping[UUID, str]) -> list[str]:
    rows = connection.execute(
        "SELECT tenant_id, meter, bucket, dimensions, value FROM billing_usagerollup"
    ).fetchall()
    got: dict[Any, Fraction] = {}
    for tenant, meter, bucket, dimensions, value in rows:
        if meter in COUNTED:
            key = (slugs.get(tenant, str(tenant)), meter, bucket, pairs_of(dimensions))
            got[key] = got.get(key, Fraction(0)) + Fraction(value)
    return _differences("rollup", _without_zeros(got), ledger.rollups())


def _samples_wrong(connection: Any, ledger: Ledger, slugs: Mapping[UUID, str]) -> list[str]:
    rows = connection.execute(
        "SELECT tenant_id, source, event_id, component, time, value FROM billing_gaugesample"
    ).fetchall()
    times = Counter((slugs.get(row[0], str(row[0])), row[1], row[2]) for row in rows)
    found = [f"doubled: {count} samples of {key}" for key, count in times.items() if count > 1]
    got = {
        (slugs.get(row[0], str(row[0])), row[1], row[2]): (row[3], row[4], Fraction(row[5])) for row in rows
    }
    expected = ledger.samples()
    wrong = [key for key in sorted({*got, *expected}) if got.get(key) != expected.get(key)]
    return found[:SHOWN] + [
        f"sample: {key} is {got.get(key)}, expected {expected.get(key)}" for key in wrong[:SHOWN]
    ]


def _without_zeros(sums: Mapping[Any, Fraction]) -> dict[Any, Fraction]:
    return {key: value for key, value in sums.items() if value}


def _differences(what: str, got: Mapping[Any, Fraction], expected: Mapping[Any, Fraction]) -> list[str]:
    wrong = [key for key in {*got, *expected} if got.get(key, Fraction(0)) != expected.get(key, Fraction(0))]
    return [
        f"{what}: {key} is {got.get(key, Fraction(0))}, expected {expected.get(key, Fraction(0))}"
        for key in sorted(wrong, key=repr)[:SHOWN]
    ]
