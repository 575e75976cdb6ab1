"""Agreements, their phases and published rate cards. Reads only. `known_at`: as recorded by then; None: now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from billing.agreements.models import Agreement, AgreementPhase, RateCardVersion
from billing.agreements.phases import CardVersion, Phase, PhaseTerms
from billing.rating.cards import Overrides, RateCard
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import NotFound


def currencies_of(*, tenant_ids: Iterable[UUID]) -> dict[UUID, str]:
    """What each is billed in; tenants without an agreement are left out."""
    found = Agreement.objects.filter(tenant_id__in=list(tenant_ids))
    return dict(found.values_list("tenant_id", "currency"))


def phases_of(*, tenant_id: UUID, known_at: datetime | None = None) -> list[Phase]:
    """In the order of time; nothing for a tenant without an agreement."""
    return [phase for phase, _ in phase_rows(tenant_id=tenant_id, known_at=known_at)]


def phase_rows(*, tenant_id: UUID, known_at: datetime | None = None) -> list[tuple[Phase, AgreementPhase]]:
    """The phases with the rows that say them."""
    rows = AgreementPhase.objects.filter(agreement__tenant_id=tenant_id)
    rows = rows.filter(known__upper_inf=True) if known_at is None else rows.filter(known__contains=known_at)
    found: list[Any] = [row for row in rows if not row.span.isempty]
    return sorted(((_phase(row), row) for row in found), key=lambda pair: pair[0].start)


def card_versions(*, keys: Iterable[str], known_at: datetime | None = None) -> dict[str, list[CardVersion]]:
    """The versions of each key by when they take effect, then by number; keys without any are left out."""
    rows = RateCardVersion.objects.filter(key__in=set(keys))
    if known_at is not None:
        rows = rows.filter(recorded_at__lte=known_at)
    found: dict[str, list[CardVersion]] = {}
    for row in rows.order_by("effective_from", "version"):
        version = CardVersion(RateCard.model_validate(row.body), row.effective_from)
        found.setdefault(row.key, []).append(version)
    return found


def rate_card_get(*, key: str, version: int | None = None, at: datetime) -> RateCard:
    """That version, or the one in force at `at`. Raises NotFound."""
    versions = card_versions(keys=[key]).get(key, [])
    if version is not None:
        fitting = [each for each in versions if each.card.version == version]
    else:
        fitting = [each for each in versions if each.effective_from <= at]
    if not fitting:
        raise NotFound(
            f"There is no rate card {key}" + (f" v{version}." if version is not None else " in force."),
            hint="See GET /api/v1/rate-cards.",
        )
    return fitting[-1].card


class RateCardInfo(TypedDict):
    key: str
    version: int
    currency: str
    effective_from: str
    recorded_at: str
    sha256: str
    body: dict[str, Any]


def rate_cards_list() -> list[RateCardInfo]:
    """Every published version, by key and number."""
    return [
        RateCardInfo(
            key=row.key,
            version=row.version,
            currency=row.currency,
            effective_from=moment_text(row.effective_from),
            recorded_at=moment_text(row.recorded_at),
            sha256=row.sha256,
            body=RateCard.model_validate(row.body).model_dump(mode="json"),
        )
        for row in RateCardVersion.objects.order_by("key", "version")
    ]


# "from" is a keyword of Python, so this one cannot be a class.
PhaseInfo = TypedDict(
    "PhaseInfo",
    {
        "from": str,
        "to": str | None,
        "plan": str,
        "rate_card": str,
        "version": int | None,
        "overrides": dict[str, Any],
        "trial_until": str | None,
        "recorded_at": str,
        "recorded_by": str,
        "reason": str,
    },
)


class AgreementInfo(TypedDict):
    """`phases` are all that stand now, the past ones too, in the order of time."""

    tenant: str
    currency: str
    starts_at: str
    phases: list[PhaseInfo]


def agreement_shape(*, tenant_id: UUID, slug: str, known_at: datetime | None = None) -> AgreementInfo:
    """Raises NotFound for a tenant without an agreement."""
    agreement = Agreement.objects.filter(tenant_id=tenant_id).first()
    if agreement is None:
        raise NotFound(f"{slug} has no agreement.", hint="Its plan's rate card applies.")
    return AgreementInfo(
        tenant=slug,
        currency=agreement.currency,
        starts_at=moment_text(agreement.starts_at),
        phases=[_info(phase, row) for phase, row in phase_rows(tenant_id=tenant_id, known_at=known_at)],
    )


def _phase(row: Any) -> Phase:
    terms = PhaseTerms(
        plan=row.plan,
        card_key=row.card_key,
        card_version=row.card_version,
        overrides=Overrides.model_validate(row.overrides),
        trial_until=row.trial_until,
    )
    return Phase(row.span.lower, row.span.upper, terms)


def _info(phase: Phase, row: Any) -> PhaseInfo:
    terms = phase.terms
    return {
        "from": moment_text(phase.start),
        "to": moment_text_or_none(phase.end),
        "plan": terms.plan,
        "rate_card": terms.card_key,
        "version": terms.card_version,
        "overrides": terms.overrides.model_dump(mode="json", exclude_defaults=True),
        "trial_until": moment_text_or_none(terms.trial_until),
        "recorded_at": moment_text(row.known.lower),
        "recorded_by": row.recorded_by,
        "reason": row.reason,
    }


def agreement_currency(*, tenant_id: UUID) -> str | None:
    """What the tenant is billed in, whatever its terms become; None for a tenant without an agreement."""
    return Agreement.objects.filter(tenant_id=tenant_id).values_list("currency", flat=True).first()
