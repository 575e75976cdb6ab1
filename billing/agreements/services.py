"""Changes to agreements. Each is one transaction with its audit row; what changes nothing leaves no trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.agreements.locks import agreement_lock
from billing.agreements.models import Agreement, AgreementPhase
from billing.agreements.phases import Change, Phase, PhaseTerms, amended, ended
from billing.agreements.publishing import rate_card_ensure
from billing.agreements.selectors import phase_rows
from billing.rating.cards import RateCard
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, ValidationFailed


@dataclass(frozen=True)
class Recorder:
    """Who changes an agreement, when, and why; `team_id` is whose tenant it is."""

    actor: str
    at: datetime
    team_id: UUID | None = None
    reason: str = ""


@transaction.atomic
def agreement_open(
    *, tenant_id: UUID, plan: str, card: RateCard, starts_at: datetime, by: Recorder
) -> Agreement:
    """The tenant's agreement under its plan's card, with the card's trial; one that is there already stays."""
    rate_card_ensure(card=card, actor=by.actor, at=by.at)
    agreement, made = Agreement.objects.get_or_create(
        tenant_id=tenant_id,
        defaults={"currency": card.currency, "starts_at": starts_at, "recorded_at": by.at},
    )
    if not made:
        return agreement
    trial_until = starts_at + timedelta(days=card.trial_days) if card.trial_days else None
    phase = Phase(starts_at, None, PhaseTerms(plan, card.key, trial_until=trial_until))
    _insert(agreement, phase, by)
    _audit(tenant_id, "agreement.opened", by, {"rate_card": card.key, "currency": card.currency})
    return agreement


@transaction.atomic
def agreement_plan_follow(
    *, tenant_id: UUID, plan: str, card: RateCard, start: datetime, by: Recorder
) -> bool:
    """The tenant is on `plan` from `start` on: where that is another one, its card is that plan's. Whether that
    changed anything.

    Overrides, discounts, commitments and the trial stay: they are the contract's, not the plan's. A plan whose
    card is in another currency leaves the card as it is (tenants refuse such a plan beforehand).
    """
    agreement = agreement_lock(tenant_id=tenant_id)
    if agreement is None:
        return False
    rows = phase_rows(tenant_id=tenant_id)
    now_on = [phase.terms.plan for phase, _ in rows if phase.covers(start)]
    if now_on in ([], [plan]):
        return False
    rate_card_ensure(card=card, actor=by.actor, at=by.at)
    fits = card.currency == agreement.currency

    def change(terms: PhaseTerms) -> PhaseTerms:
        if not fits:
            return replace(terms, plan=plan)
        # A version pinned for the old card means nothing for the new one.
        return replace(terms, plan=plan, card_key=card.key, card_version=None)

    about = {"plan": plan, "rate_card": card.key} if fits else {"plan": plan}
    return _amend(agreement, change, start=start, end=None, by=by, about=about)


@transaction.atomic
def agreement_amend(
    *,
    tenant_id: UUID,
    change: Change,
    about: Mapping[str, Any],
    start: datetime,
    end: datetime | None = None,
    closed_until: datetime | None = None,
    by: Recorder,
) -> bool:
    """Applies `change` to the terms within [start, end): whether that changed anything.

    `about` tells the audit row what was asked for. `closed_until` is the end of the tenant's last finalized
    period, where it is known: what was billed is not changed under it. Raises Conflict (`no_agreement`,
    `agreement_ended`, `period_finalized`) and ValidationFailed naming `effective_to`.
    """
    agreement = agreement_lock(tenant_id=tenant_id)
    if agreement is None:
        raise Conflict("The tenant has no agreement.", code="no_agreement")
    if end is not None and end <= start:
        raise ValidationFailed.of("effective_to", "must be after effective_from")
    if closed_until is not None and start < closed_until:
        raise Conflict(
            f"The months before {closed_until.isoformat()} are finalized.",
            code="period_finalized",
            hint="Let the change begin then or later, and settle the past by a credit note.",
        )
    return _amend(agreement, change, start=start, end=end, by=by, about=dict(about))


@transaction.atomic
def agreement_end(*, tenant_id: UUID, at: datetime, by: Recorder) -> bool:
    """The tenant is gone: its fees end at `at`. Whether that changed anything."""
    agreement = agreement_lock(tenant_id=tenant_id)
    if agreement is None:
        return False
    rows = phase_rows(tenant_id=tenant_id)
    after = ended([phase for phase, _ in rows], at=at)
    if not _replace(agreement, rows, after, by):
        return False
    _audit(tenant_id, "agreement.ended", by, {"at": at})
    return True


def currency_fits(*, tenant_id: UUID, card: RateCard) -> bool:
    """Whether the tenant could be billed by the card; any card fits a tenant without an agreement."""
    agreement = Agreement.objects.filter(tenant_id=tenant_id).first()
    return agreement is None or agreement.currency == card.currency


def currency_check(*, agreement: Agreement, card: RateCard) -> None:
    """Raises Conflict for a card in another currency than the agreement's."""
    if card.currency != agreement.currency:
        raise Conflict(
            f"The agreement is in {agreement.currency}, and the rate card {card.key} in {card.currency}.",
            code="currency_differs",
            hint=f"Choose a rate card in {agreement.currency}; see GET /api/v1/rate-cards.",
        )


def _amend(
    agreement: Agreement,
    change: Change,
    *,
    start: datetime,
    end: datetime | None,
    by: Recorder,
    about: dict[str, Any],
) -> bool:
    rows = phase_rows(tenant_id=agreement.tenant_id)
    phases = [phase for phase, _ in rows]
    if not any(phase.end is None or phase.end > start for phase in phases):
        raise Conflict("The tenant's agreement has ended.", code="agreement_ended")
    if not _replace(agreement, rows, amended(phases, change, start=start, end=end), by):
        return False
    _audit(agreement.tenant_id, "agreement.amended", by, {"from": start, "to": end, **about})
    return True


def _replace(
    agreement: Agreement, rows: Sequence[tuple[Phase, AgreementPhase]], after: Sequence[Phase], by: Recorder
) -> bool:
    """Closes what is known of phases that are not among `after`, then records those that are new."""
    before = [phase for phase, _ in rows]
    stale = [row.pk for phase, row in rows if phase not in after]
    new = [phase for phase in after if phase not in before]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_agreementphase
            SET known = tstzrange(lower(known), greatest(lower(known), %s))
            WHERE id = ANY(%s) AND upper_inf(known)
            """,
            [by.at, stale],
        )
        if cursor.rowcount != len(stale):
            raise RuntimeError("phases changed under the agreement's lock")
    for phase in new:
        _insert(agreement, phase, by)
    return bool(stale or new)


def _insert(agreement: Agreement, phase: Phase, by: Recorder) -> None:
    AgreementPhase.objects.create(
        agreement=agreement,
        span=DateTimeTZRange(phase.start, phase.end),
        known=DateTimeTZRange(by.at, None),
        plan=phase.terms.plan,
        card_key=phase.terms.card_key,
        card_version=phase.terms.card_version,
        overrides=phase.terms.overrides.model_dump(mode="json", exclude_defaults=True),
        trial_until=phase.terms.trial_until,
        recorded_by=by.actor,
        reason=by.reason,
    )


def _audit(tenant_id: UUID, action: str, by: Recorder, data: Mapping[str, Any]) -> None:
    audit_record(
        at=by.at,
        actor=by.actor,
        action=action,
        subject_type="tenant",
        subject_id=str(tenant_id),
        team_id=by.team_id,
        data={**data, **({"reason": by.reason} if by.reason else {})},
    )
