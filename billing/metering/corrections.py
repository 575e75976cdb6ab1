"""Takes back or replaces an event that was counted, and says so for ever.

The raw event stays as it came; a correction beside it says what counts instead since when. Whatever was derived from
the event is adjusted in the same transaction, to what it would be had the right event come in the first place.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.metering.catalogue import METERS, METERS_BY_EVENT
from billing.metering.chunks import event_find
from billing.metering.decoding import stored_event
from billing.metering.events import RejectedEvent, event_judge
from billing.metering.facts import QUARTER_S, Rows, ValidEvent, facts_of, moment_of, number_text, rows_of
from billing.metering.locks import StoredKey, rollup_lock, usage_event_key_lock
from billing.metering.models import UsageCorrection
from billing.metering.raw import raw_events
from billing.metering.segments import RawPart
from billing.metering.store import members_add, rollups_add, samples_insert
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, NotFound, ValidationFailed

VOID = "void"
AMEND = "amend"
LONGEST_REASON = 500


def event_void(
    *,
    tenant_id: UUID,
    source: str,
    event_id: str,
    reason: str,
    actor: str,
    at: datetime,
    team_id: UUID | None = None,
) -> UsageCorrection:
    """The event counts for nothing from now on. An amended one may be voided; a voided one is a Conflict."""
    return _correct(VOID, tenant_id, source, event_id, reason, actor, at, team_id, None)


def event_amend(
    *,
    tenant_id: UUID,
    source: str,
    event_id: str,
    reason: str,
    actor: str,
    at: datetime,
    body: Mapping[str, Any],
    team_id: UUID | None = None,
) -> UsageCorrection:
    """`body`, a whole event with the same source, id and type, counts instead of what was sent.

    Raises ValidationFailed for a body that ingest would reject, NotFound, and Conflict for an event that has been
    corrected before: what happened is then told by a void and a new event, not by a chain of amendments.
    """
    return _correct(AMEND, tenant_id, source, event_id, reason, actor, at, team_id, body)


def _correct(
    action: str,
    tenant_id: UUID,
    source: str,
    event_id: str,
    reason: str,
    actor: str,
    at: datetime,
    team_id: UUID | None,
    body: Mapping[str, Any] | None,
) -> UsageCorrection:
    """1. Locks the event's key. 2. Finds what counts now. 3. Writes the correction. 4. Adjusts what was derived.
    5. Records it in the audit chain."""
    if not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise ValidationFailed.of("reason", f"must have 1 to {LONGEST_REASON} characters")
    with transaction.atomic():
        key = usage_event_key_lock(tenant_id=tenant_id, source=source, event_id=event_id)
        if key is None:
            raise NotFound("There is no such event.", hint="Source and id must be those it was sent with.")
        old, subject = _original(key)
        last = (
            UsageCorrection.objects.filter(tenant_id=tenant_id, source=source, event_id=event_id)
            .order_by("-revision")
            .first()
        )
        _refuse_again(action, last)
        if last is not None and last.time is not None:
            old = stored_event(json.dumps(last.body).encode())
        new = None if body is None else _replacement(body, old, subject, at)
        correction = UsageCorrection.objects.create(
            tenant_id=tenant_id,
            source=source,
            event_id=event_id,
            revision=1 if last is None else last.revision + 1,
            action=action,
            type=old.type,
            time=None if new is None else new.time,
            replaced_time=old.time,
            body=None if new is None else json.loads(new.body),
            received_at=key.received_at,
            reason=reason.strip(),
            actor=actor,
            recorded_at=at,
        )
        _derived_adjust(tenant_id, old, new, at)
        audit_record(
            at=at,
            actor=actor,
            action=f"usage.{action}",
            subject_type="usage_event",
            subject_id=str(correction.id),
            team_id=team_id,
            data={"tenant_id": str(tenant_id), "source": source, "id": event_id, "reason": reason.strip()},
        )
    return correction


def _refuse_again(action: str, last: UsageCorrection | None) -> None:
    if last is None or (last.action == AMEND and action == VOID):
        return
    state = "voided" if last.action == VOID else "amended"
    raise Conflict(
        f"This event has been {state} already.",
        code=f"event_{state}",
        hint="Void it, and send the right event under a new id." if last.action == AMEND else "",
    )


def _original(key: StoredKey) -> tuple[ValidEvent, str]:
    """The event as it was received, and the slug it was sent for."""
    event = event_find(
        tenant_id=key.tenant_id,
        types=list(METERS_BY_EVENT),
        time=key.time,
        received_at=key.received_at,
        source=key.source,
        event_id=key.event_id,
    )
    if event is None:
        raise RuntimeError(f"the raw event of {key.source} {key.event_id} is gone")
    return event, event.source.split("/")[2]  # /tenants/{slug}/..., as ingest demands


def _replacement(body: Mapping[str, Any], old: ValidEvent, subject: str, at: datetime) -> ValidEvent:
    judged = event_judge(body, subject=subject, received_at=at)
    if isinstance(judged, RejectedEvent):
        raise ValidationFailed.of("event", judged.reason)
    if (*judged.key, judged.type) != (*old.key, old.type):
        raise ValidationFailed.of("event", "must have the same source, id and type")
    return judged


def _derived_adjust(tenant_id: UUID, old: ValidEvent, new: ValidEvent | None, at: datetime) -> None:
    """Additive rows by their difference, maxima anew from the events of their bucket, samples one by one."""
    taken, given = rows_of(facts_of([old])), rows_of(facts_of([new] if new is not None else []))
    change = Rows(sums=dict(given.sums), members=dict(given.members))
    for key, value in taken.sums.items():
        change.sums[key] = change.sums.get(key, 0) - value
    for member, events in taken.members.items():
        change.members[member] = change.members.get(member, 0) - events
    change.sums = {key: value for key, value in change.sums.items() if value}
    change.members = {key: events for key, events in change.members.items() if events}
    _samples_void(tenant_id, old, at)
    if new is not None:
        samples_insert(tenant_id, [new], at)
    members_add(tenant_id, change)
    _members_forget(tenant_id, change)
    # One order for all rollup rows, as ingest has it: maxima are locked, and counted again, among the sums.
    for key in sorted({*change.sums, *taken.highest, *given.highest}):
        one = Rows()
        if key in change.sums:
            one.sums[key] = change.sums[key]
        if key in taken.highest:
            rollup_lock(tenant_id=tenant_id, key=key)
            _maximum_reset(tenant_id, key, old.type)
        elif key in given.highest:
            one.highest[key] = given.highest[key]
        rollups_add(tenant_id, one)


def _maximum_reset(tenant_id: UUID, key: tuple[str, int, str], event_type: str) -> None:
    """From the events that count now. Whoever added to this bucket before our lock is visible, whoever comes after
    raises what we set."""
    meter, bucket, dimensions = key
    part = RawPart(0, moment_of(bucket), moment_of(bucket + QUARTER_S))
    found = raw_events(tenant_ids=[tenant_id], event_type=event_type, parts=[part], known_at=None)
    highest = rows_of(facts_of(raw.event for raw in found)).highest.get(key, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_usagerollup SET value = %s::numeric
            WHERE tenant_id = %s AND meter = %s AND bucket = %s AND dimensions = %s::jsonb
            """,
            [number_text(highest), tenant_id, meter, moment_of(bucket), dimensions],
        )


def _members_forget(tenant_id: UUID, change: Rows) -> None:
    buckets = {moment_of(bucket) for _, bucket, _, _ in change.members}
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM billing_usagemember WHERE tenant_id = %s AND bucket = ANY(%s::timestamptz[]) AND events <= 0",
            [tenant_id, sorted(buckets)],
        )


def _samples_void(tenant_id: UUID, old: ValidEvent, at: datetime) -> None:
    if not any(
        meter.event_type == old.type and meter.aggregation == "time_weighted" for meter in METERS.values()
    ):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_gaugesample SET voided_at = %s
            WHERE tenant_id = %s AND source = %s AND event_id = %s AND voided_at IS NULL
            """,
            [at, tenant_id, old.source, old.event_id],
        )
