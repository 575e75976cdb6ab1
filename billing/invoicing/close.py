"""The close of a month: every tenant's invoice, exactly once, whatever is killed in between.

Each tenant is closed in one transaction of its own: its turn is locked and read again, the draft is made, drift is
looked for, credits are applied, the invoice is numbered and posted, and its turn is ended. What was killed before its
commit has left nothing, and what comes after finds the turn ended. All of a close rates with what was known when the
close began, so a run that goes on later comes to the same amounts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from billing.directory import BilledCustomer, directory
from billing.exact import money_text
from billing.invoicing import states
from billing.invoicing.drift import drift_of
from billing.invoicing.issuing import invoice_compose, invoice_issue
from billing.invoicing.locks import tenant_close_lock, tenant_invoices_lock
from billing.invoicing.models import Invoice, PeriodClose, TenantClose
from billing.invoicing.services import draft_remove, invoice_draft
from billing.invoicing.settling import late_usage_settle
from billing.period import Period, month_start
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, FreeholdError
from embedded.crashpoints import crash_point

log = structlog.get_logger()


def period_close_begin(
    *, team_id: UUID, period: Period, at: datetime, actor: str, grace: timedelta | None = None
) -> PeriodClose:
    """The close of the team's month, made on the first call; every customer that lived in it gets a turn.

    `grace` is how long late events are waited for after the period's end (FREEHOLD_INVOICE_GRACE_HOURS if None).
    Raises Conflict (`period_open`, `period_in_grace`) before that.
    """
    _over_check(
        period, at, timedelta(hours=settings.FREEHOLD_INVOICE_GRACE_HOURS) if grace is None else grace
    )
    with transaction.atomic():
        close, made = PeriodClose.objects.get_or_create(
            team_id=team_id,
            period_start=period.start,
            period_end=period.end,
            defaults={"known_at": at, "started_by": actor, "created_at": at},
        )
        TenantClose.objects.bulk_create(
            [
                TenantClose(close=close, tenant_id=customer.id, slug=customer.slug, updated_at=at)
                for customer in directory().customers(team_id=team_id)
                if customer.lived_in(period)
            ],
            ignore_conflicts=True,
        )
        if made:
            audit_record(
                at=at, actor=actor, action="period_close.begun", subject_type="period_close",
                subject_id=str(close.pk), team_id=team_id, data={"period": period.key},
            )  # fmt: skip
    crash_point("billing.close.begun")
    return close


def period_close(*, close_id: UUID, at: datetime, actor: str) -> PeriodClose:
    """Closes every tenant whose turn is open, one transaction each, and settles what the close comes to.

    Safe to run again, at once, or several times side by side. One tenant's failure is kept with it, and holds up
    no other; the next run tries it again.
    """
    close = PeriodClose.objects.get(pk=close_id)
    for turn_id in _open_turns(close):
        _tenant_close_safely(turn_id, at=at, actor=actor)
    return _settle(close, at)


def tenant_close_release(
    *, close: PeriodClose, tenant_id: UUID, reason: str, at: datetime, actor: str
) -> TenantClose:
    """Lets a held tenant go on in spite of its drift. Raises Conflict (`not_held`) for one that is not held."""
    with transaction.atomic():
        moved = TenantClose.objects.filter(close=close, tenant_id=tenant_id, state=states.TENANT_HELD).update(
            state=states.TENANT_RELEASED, released_by=actor, release_reason=reason, updated_at=at
        )
        if moved != 1:
            raise Conflict(
                "The tenant is not held in this close.",
                code="not_held",
                hint="GET the close: it says where each tenant stands.",
            )
        turn = TenantClose.objects.get(close=close, tenant_id=tenant_id)
        PeriodClose.objects.filter(pk=close.pk).update(state=states.CLOSE_RUNNING, finished_at=None)
        audit_record(
            at=at, actor=actor, action="period_close.released", subject_type="period_close",
            subject_id=str(close.pk), team_id=close.team_id,
            data={"tenant": turn.slug, "reason": reason, "drift": turn.detail},
        )  # fmt: skip
    return turn


def period_closes_due(*, at: datetime, period: Period, actor: str) -> list[UUID]:
    """Begins the month's close for every team once its grace is over; the closes that are not done, of any month."""
    if at >= period.end + timedelta(hours=settings.FREEHOLD_INVOICE_GRACE_HOURS):
        begun = PeriodClose.objects.filter(period_start=period.start).values_list("team_id", flat=True)
        teams = {customer.team_id for customer in directory().customers() if customer.lived_in(period)}
        for team_id in sorted(teams.difference(begun)):
            period_close_begin(team_id=team_id, period=period, at=at, actor=actor)
    open_ones = PeriodClose.objects.filter(state=states.CLOSE_RUNNING).order_by("created_at")
    return list(open_ones.values_list("pk", flat=True))


def _over_check(period: Period, at: datetime, grace: timedelta) -> None:
    if at < period.end:
        raise Conflict(
            f"{period.key} ends at {moment_text(period.end)}.",
            code="period_open",
            hint="A month is closed when it is over.",
        )
    if at < period.end + grace:
        raise Conflict(
            f"Late events of {period.key} are waited for until {moment_text(period.end + grace)}.",
            code="period_in_grace",
            hint="Close it after that, or say that you do not want to wait.",
        )


def _open_turns(close: PeriodClose) -> Sequence[UUID]:
    found = TenantClose.objects.filter(close=close, state__in=states.TENANT_OPEN)
    return list(found.order_by("slug", "tenant_id").values_list("pk", flat=True))


def _tenant_close_safely(turn_id: UUID, *, at: datetime, actor: str) -> None:
    try:
        _tenant_close(turn_id, at=at, actor=actor)
    except Exception as error:  # kept with the tenant, for a person to read; the other tenants go on
        log.exception("billing.tenant_close_failed", tenant_close=str(turn_id))
        told = error.detail if isinstance(error, FreeholdError) else f"{type(error).__name__}: {error}"
        code = error.code if isinstance(error, FreeholdError) else "internal_error"
        TenantClose.objects.filter(pk=turn_id, state__in=states.TENANT_OPEN).update(
            state=states.TENANT_FAILED, detail={"code": code, "reason": told[:500]}, updated_at=at
        )


def _tenant_close(turn_id: UUID, *, at: datetime, actor: str) -> None:
    with transaction.atomic():
        turn = tenant_close_lock(tenant_close_id=turn_id)
        if turn.state not in states.TENANT_OPEN:
            return
        close = turn.close
        customer = directory().customer(tenant_id=turn.tenant_id)
        if customer is None:
            _turn_end(turn, states.TENANT_SKIPPED, at, reason="the tenant is gone")
            return
        crash_point("billing.close.started")
        tenant_invoices_lock(tenant_id=customer.id)
        period = Period(start=close.period_start, end=close.period_end)
        issued = _issued(customer, period)
        if issued is not None:
            _turn_end(
                turn, states.TENANT_INVOICED, at, invoice=issued, reason="it was invoiced before the close"
            )
            return
        _earlier_settle(customer, period, known_at=close.known_at, actor=actor)
        _tenant_invoice(turn, close, customer, period, at=at, actor=actor)
    crash_point("billing.close.committed")


def _earlier_settle(customer: BilledCustomer, period: Period, *, known_at: datetime, actor: str) -> None:
    """Late usage of the months before, so that its corrections are on this invoice."""
    start = period.start
    for _ in range(settings.FREEHOLD_LATE_USAGE_MONTHS):
        start = month_start(start - timedelta(days=1))
    earlier = Invoice.objects.filter(
        tenant_id=customer.id,
        kind=states.REGULAR,
        state__in=states.ISSUED,
        period_start__gte=start,
        period_end__lte=period.start,
    )
    for invoice in earlier.order_by("period_start"):
        late_usage_settle(invoice=invoice, customer=customer, at=known_at, actor=actor)


def _tenant_invoice(
    turn: TenantClose,
    close: PeriodClose,
    customer: BilledCustomer,
    period: Period,
    *,
    at: datetime,
    actor: str,
) -> None:
    invoice = invoice_draft(customer=customer, period=period, at=at, actor=actor, known_at=close.known_at)
    crash_point("billing.close.drafted")
    composed = invoice_compose(
        customer=customer, period=period, as_of=close.known_at, known_at=close.known_at
    )
    if turn.state != states.TENANT_RELEASED:
        drift = drift_of(
            customer=customer,
            period=period,
            currency=composed.currency,
            tolerance_permille=settings.FREEHOLD_CLOSE_TOLERANCE_PERMILLE,
        )
        if drift.found:
            figures = {"draft_total": money_text(composed.subtotal, composed.currency), **drift.as_data()}
            _turn_end(turn, states.TENANT_HELD, at, invoice=invoice, reason="drift", **figures)
            return
    if not any(line.amount for line in composed.lines):
        # Nothing to pay and nothing that was: an invoice about nothing would only take a number.
        draft_remove(invoice)
        _turn_end(turn, states.TENANT_SKIPPED, at, reason="nothing was charged")
        return
    issued = invoice_issue(invoice=invoice, customer=customer, composed=composed, at=at, actor=actor)
    _turn_end(turn, states.TENANT_INVOICED, at, invoice=issued)


def _issued(customer: BilledCustomer, period: Period) -> Invoice | None:
    return Invoice.objects.filter(
        tenant_id=customer.id,
        period_start=period.start,
        period_end=period.end,
        kind=states.REGULAR,
        state__in=states.ISSUED,
    ).first()


def _turn_end(
    turn: TenantClose, state: str, at: datetime, *, invoice: Invoice | None = None, **detail: Any
) -> None:
    turn.state, turn.invoice, turn.detail, turn.updated_at = state, invoice, detail, at
    turn.save(update_fields=["state", "invoice", "detail", "updated_at"])


def _settle(close: PeriodClose, at: datetime) -> PeriodClose:
    """What the turns come to. A turn that was released meanwhile keeps the close running."""
    with transaction.atomic():
        locked = PeriodClose.objects.select_for_update().get(pk=close.pk)
        found = set(TenantClose.objects.filter(close=close).values_list("state", flat=True))
        if found.intersection(states.TENANT_OPEN):
            locked.state, locked.finished_at = states.CLOSE_RUNNING, None
        else:
            locked.state = states.CLOSE_HELD if states.TENANT_HELD in found else states.CLOSE_DONE
            locked.finished_at = locked.finished_at or at
        locked.save(update_fields=["state", "finished_at"])
    return locked
