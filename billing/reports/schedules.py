"""Changes of report schedules, and writing the reports that are due. Each report is written once for each time: its
row decides. Delivery is the outbox's business."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, QuerySet

from billing.directory import directory
from billing.reports.fleet import fleet_report
from billing.reports.models import CADENCES, ReportDelivery, ReportSchedule
from billing.reports.render import FORMATS, File, fleet_file, usage_file
from billing.reports.selectors import usage_report
from billing.reports.timing import due_after, due_day, period_about
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import Conflict, FreeholdError, NotFound, PreconditionFailed, ValidationFailed
from controlplane.core.outbound.models import OutboundEndpoint, OutboundMessage
from controlplane.core.outbound.recipients import emails_check
from controlplane.core.outbound.services import (
    Attachment,
    email_queue,
    endpoint_create,
    endpoint_remove,
    webhook_queue,
)

log = structlog.get_logger()

EVENT: Final = "usage_report.ready"
CHANGEABLE: Final = ("cadence", "format", "emails", "webhook_url", "active")
MOST_SCHEDULES: Final = 100
#: A report that could not be written so often is left, and shows why.
MOST_ATTEMPTS: Final = 10
TRY_AGAIN: Final = timedelta(minutes=10)


@transaction.atomic
def report_schedule_create(
    *,
    team_id: UUID,
    tenant_id: UUID | None,
    cadence: str,
    actor: str,
    now: datetime,
    secret_bytes: bytes,
    format: str = "pdf",
    emails: Sequence[str] = (),
    webhook_url: str | None = None,
    active: bool = True,
) -> tuple[ReportSchedule, str | None]:
    """The schedule, and the secret of its webhook, which is shown this one time. `tenant_id` None: all tenants.

    Raises ValidationFailed naming each wrong field, and for a schedule that would tell nobody.
    """
    if ReportSchedule.objects.filter(team_id=team_id).count() >= MOST_SCHEDULES:
        raise Conflict(f"There are {MOST_SCHEDULES} schedules already.", code="too_many_schedules")
    schedule = ReportSchedule(
        team_id=team_id,
        tenant_id=tenant_id,
        cadence=_one_of("cadence", cadence, CADENCES),
        format=_one_of("format", format, FORMATS),
        emails=emails_check(emails),
        active=active,
        created_by=actor,
        created_at=now,
        updated_at=now,
        next_at=due_after(cadence, now),
    )
    secret = _endpoint_set(schedule, webhook_url, secret_bytes, now)
    _somebody_demand(schedule)
    schedule.save(force_insert=True)
    _audit(schedule, actor, "created", now, _told(schedule))
    return schedule, secret


@transaction.atomic
def report_schedule_update(
    *,
    schedule: ReportSchedule,
    changes: Mapping[str, Any],
    actor: str,
    now: datetime,
    secret_bytes: bytes,
    etags: Collection[str] | None = None,
) -> tuple[ReportSchedule, str | None]:
    """Changes what `changes` names. Times that passed while it was not active are not caught up on."""
    current = ReportSchedule.objects.select_for_update().get(pk=schedule.pk)
    if etags is not None and report_schedule_etag(current) not in etags:
        raise PreconditionFailed(
            "The schedule changed since it was read.", hint="Read it again, then repeat."
        )
    before = _told(current)
    if "cadence" in changes:
        current.cadence = _one_of("cadence", changes["cadence"], CADENCES)
    if "format" in changes:
        current.format = _one_of("format", changes["format"], FORMATS)
    if "emails" in changes:
        current.emails = emails_check(changes["emails"])
    if "active" in changes:
        current.active = bool(changes["active"])
    secret, moved = None, "webhook_url" in changes
    if moved:
        if current.endpoint_id is not None:
            endpoint_remove(endpoint_id=current.endpoint_id)
        secret = _endpoint_set(current, changes["webhook_url"], secret_bytes, now)
    _somebody_demand(current)
    after = _told(current)
    if before == after and not moved:
        return current, None
    if before["cadence"] != after["cadence"] or (after["active"] and not before["active"]):
        current.next_at = due_after(current.cadence, now)
    current.updated_at = max(now, current.updated_at + timedelta(microseconds=1))
    current.save()
    changed = {name: value for name, value in after.items() if before[name] != value}
    _audit(current, actor, "updated", now, {"after": changed, "webhook_changed": moved})
    return current, secret


@transaction.atomic
def report_schedule_delete(*, schedule: ReportSchedule, actor: str, now: datetime) -> None:
    current = ReportSchedule.objects.select_for_update().filter(pk=schedule.pk).first()
    if current is None:
        return
    if current.endpoint_id is not None:
        endpoint_remove(endpoint_id=current.endpoint_id)
    _audit(current, actor, "deleted", now, _told(current))
    current.delete()


def reports_write_due(*, now: datetime, limit: int = 100, until: Callable[[], bool] = lambda: False) -> int:
    """Writes the reports that are due into the outbox; how many. One that fails is tried again later and shows why."""
    written = 0
    due = ReportSchedule.objects.filter(active=True, next_at__lte=now).order_by("next_at", "pk")
    for schedule in due[:limit]:
        if until():
            break
        written += _write(schedule, schedule.next_at, now)
    again = ReportDelivery.objects.filter(
        written_at__isnull=True,
        schedule__active=True,
        attempts__lt=MOST_ATTEMPTS,
        created_at__lte=now - TRY_AGAIN,
    ).exclude(problem="")
    for delivery in again.select_related("schedule").order_by("created_at")[:limit]:
        if until():
            break
        if now >= delivery.created_at + TRY_AGAIN * delivery.attempts:
            written += _fill(delivery, now)
    return written


def report_schedules_of(*, team_id: UUID) -> QuerySet[ReportSchedule]:
    return ReportSchedule.objects.filter(team_id=team_id)


def report_schedule_get(*, team_id: UUID, schedule_id: UUID) -> ReportSchedule:
    found = report_schedules_of(team_id=team_id).filter(pk=schedule_id).first()
    if found is None:
        raise NotFound("There is no such schedule.")
    return found


def report_schedule_etag(schedule: ReportSchedule) -> str:
    return f'"{int(schedule.updated_at.timestamp() * 1_000_000):x}"'


def report_schedule_representation(schedule: ReportSchedule, *, tenant: str | None) -> dict[str, Any]:
    """`deliveries`: the newest ten, with what became of each message."""
    endpoint = (
        OutboundEndpoint.objects.filter(pk=schedule.endpoint_id).first() if schedule.endpoint_id else None
    )
    return {
        "id": str(schedule.pk),
        "scope": "fleet" if schedule.tenant_id is None else "tenant",
        "tenant": tenant,
        **_told(schedule),
        "webhook_url": endpoint.url if endpoint else None,
        "next_at": moment_text(schedule.next_at) if schedule.active else None,
        "created_by": schedule.created_by,
        "created_at": moment_text(schedule.created_at),
        "updated_at": moment_text(schedule.updated_at),
        "deliveries": [_delivery(each) for each in schedule.deliveries.order_by("-due_on")[:10]],
    }


def _delivery(delivery: ReportDelivery) -> dict[str, Any]:
    messages = OutboundMessage.objects.filter(key__startswith=f"report:{delivery.pk}:").order_by("channel")
    return {
        "due_on": delivery.due_on.isoformat(),
        "period": delivery.period,
        "written_at": moment_text_or_none(delivery.written_at),
        "problem": delivery.problem,
        "messages": [
            {
                "channel": message.channel,
                "state": message.state,
                "attempts": message.attempts,
                "last_error": message.last_error,
                "ended_at": moment_text_or_none(message.ended_at),
            }
            for message in messages
        ],
    }


def _write(schedule: ReportSchedule, due: datetime, now: datetime) -> bool:
    """Claims the time by moving the schedule on; the delivery's row keeps what came of it."""
    with transaction.atomic():
        moved = ReportSchedule.objects.filter(pk=schedule.pk, active=True, next_at=due).update(
            next_at=due_after(schedule.cadence, max(due, now))
        )
        if moved != 1:
            return False
        delivery, created = ReportDelivery.objects.get_or_create(
            schedule=schedule,
            due_on=due_day(due),
            defaults={
                "period": period_about(due),
                "created_at": now,
                # Stands until it is written, so that one whose writer died is tried again.
                "problem": "It is being written.",
            },
        )
    return created and _fill(delivery, now)


def _fill(delivery: ReportDelivery, now: datetime) -> bool:
    """Writes the report and queues its messages; False where it could not, or somebody else is at it."""
    claimed = ReportDelivery.objects.filter(
        pk=delivery.pk, written_at__isnull=True, attempts=delivery.attempts
    ).update(attempts=F("attempts") + 1)
    if claimed != 1:
        return False
    try:
        file, data, about = _report(delivery, now)
    except FreeholdError as error:
        return _problem(delivery, error.detail)
    except Exception as error:
        log.exception("reports.surprise", schedule=str(delivery.schedule_id))
        return _problem(delivery, f"It could not be written ({type(error).__name__}).")
    with transaction.atomic():
        moved = ReportDelivery.objects.filter(pk=delivery.pk, written_at__isnull=True).update(
            written_at=now, problem=""
        )
        if moved != 1:
            return False
        _messages_queue(delivery, file, data, about, now)
    return True


def _messages_queue(
    delivery: ReportDelivery, file: File, data: Mapping[str, Any], about: str, now: datetime
) -> None:
    schedule = delivery.schedule
    if schedule.emails:
        email_queue(
            team_id=schedule.team_id,
            key=f"report:{delivery.pk}:email",
            recipients=schedule.emails,
            subject=f"Usage of {about}, {delivery.period}",
            text=f"The usage report of {about} for {delivery.period} is attached as {file.name}.\n",
            attachments=[Attachment(file.name, file.content_type, file.content)],
            at=now,
        )
    if schedule.endpoint_id is not None:
        webhook_queue(
            team_id=schedule.team_id,
            key=f"report:{delivery.pk}:webhook",
            endpoint_id=schedule.endpoint_id,
            type=EVENT,
            data=data,
            at=now,
        )


def _report(delivery: ReportDelivery, now: datetime) -> tuple[File, dict[str, Any], str]:
    """(the file, the event's data, whose it is in words)."""
    schedule = delivery.schedule
    if schedule.tenant_id is None:
        customers = list(directory().customers(team_id=schedule.team_id))
        fleet = fleet_report(customers=customers, period=delivery.period, as_of=now)
        data = ready_data(schedule_id=schedule.pk, period=delivery.period, tenant=None, report=fleet)
        return fleet_file(fleet, schedule.format), data, "all tenants"
    customer = directory().customer(tenant_id=schedule.tenant_id)
    if customer is None or customer.team_id != schedule.team_id:
        raise NotFound("The tenant of this schedule is not known.")
    report = usage_report(tenant=customer, period=delivery.period, card=customer.fallback, as_of=now)
    data = ready_data(schedule_id=schedule.pk, period=delivery.period, tenant=customer.slug, report=report)
    return usage_file(report, schedule.format), data, customer.slug


def ready_data(
    *, schedule_id: UUID, period: str, tenant: str | None, report: Mapping[str, Any]
) -> dict[str, Any]:
    """`data` of the event; `tenant` is the slug, None for the report of all."""
    return {
        "schedule_id": str(schedule_id),
        "period": period,
        "tenant": tenant,
        "report": json.loads(json.dumps(report)),
    }


def _problem(delivery: ReportDelivery, problem: str) -> bool:
    ReportDelivery.objects.filter(pk=delivery.pk, written_at__isnull=True).update(problem=problem[:500])
    return False


def _endpoint_set(
    schedule: ReportSchedule, url: str | None, secret_bytes: bytes, now: datetime
) -> str | None:
    schedule.endpoint_id = None
    if not url:
        return None
    endpoint, secret = endpoint_create(team_id=schedule.team_id, url=url, secret_bytes=secret_bytes, at=now)
    schedule.endpoint_id = endpoint.pk
    return secret


def _somebody_demand(schedule: ReportSchedule) -> None:
    if not schedule.emails and schedule.endpoint_id is None:
        raise ValidationFailed.of("emails", "must name somebody, unless there is a webhook_url")


def _one_of(field: str, value: str, words: Sequence[str]) -> str:
    if value not in words:
        raise ValidationFailed.of(field, f"must be one of {', '.join(words)}")
    return value


def _told(schedule: ReportSchedule) -> dict[str, Any]:
    return {
        "cadence": schedule.cadence,
        "format": schedule.format,
        "emails": schedule.emails,
        "active": schedule.active,
    }


def _audit(schedule: ReportSchedule, actor: str, what: str, now: datetime, data: Mapping[str, Any]) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"billing.report_schedule.{what}",
        subject_type="report_schedule",
        subject_id=str(schedule.pk),
        team_id=schedule.team_id,
        data={"tenant_id": str(schedule.tenant_id) if schedule.tenant_id else None, **data},
    )
