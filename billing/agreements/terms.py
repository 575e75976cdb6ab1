"""What a caller may change of an agreement's terms, checked before it is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from billing.agreements.models import Agreement
from billing.agreements.phases import Change, PhaseTerms
from billing.agreements.selectors import card_versions, phases_of
from billing.agreements.services import Recorder, agreement_amend, currency_check
from billing.rating.cards import Overrides, RateCard, card_with
from controlplane.core.errors import NotFound, ValidationFailed

#: Parts of the overrides; each that is given replaces that part as a whole.
OVERRIDES: Final = ("base_fee", "fees", "prices", "discounts", "commitments")
TERMS: Final = ("rate_card", "rate_card_version", "trial_until", *OVERRIDES)


def agreement_terms_change(
    *,
    tenant_id: UUID,
    changes: Mapping[str, Any],
    start: datetime,
    end: datetime | None = None,
    closed_until: datetime | None = None,
    by: Recorder,
) -> bool:
    """Changes the terms within [start, end) to `changes` (of TERMS): whether that changed anything.

    Raises ValidationFailed naming the fields, NotFound for a tenant without an agreement, and what agreement_amend
    raises.
    """
    agreement = Agreement.objects.filter(tenant_id=tenant_id).first()
    if agreement is None:
        raise NotFound("The tenant has no agreement.", hint="Its plan's rate card applies.")
    if not changes:
        raise ValidationFailed("Nothing to change was given.", hint=f"Give one of {', '.join(TERMS)}.")
    change = _change(changes)
    phases = [phase for phase in phases_of(tenant_id=tenant_id) if phase.end is None or phase.end > start]
    published = card_versions(keys=[change(phase.terms).card_key for phase in phases])
    for phase in phases:
        if end is None or phase.start < end:
            _fit(agreement, change(phase.terms), published, changes)
    about = {"terms": {name: _plain(changes[name]) for name in changes}}
    return agreement_amend(
        tenant_id=tenant_id,
        change=change,
        about=about,
        start=start,
        end=end,
        closed_until=closed_until,
        by=by,
    )


def overrides_read(raw: Mapping[str, Any]) -> Overrides:
    """Raises ValidationFailed with a pointer for each wrong value."""
    try:
        return Overrides.model_validate(raw)
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError, *, within: str = "") -> ValidationFailed:
    problems = [
        {"pointer": within + "".join(f"/{part}" for part in each["loc"]), "detail": each["msg"]}
        for each in error.errors(include_url=False)
    ]
    first = problems[0]
    return ValidationFailed(
        f"{first['pointer'].lstrip('/') or 'terms'}: {first['detail']}",
        errors=[{"pointer": each["pointer"] or "/", "detail": each["detail"]} for each in problems],
    )


def _change(changes: Mapping[str, Any]) -> Change:
    given = {name: changes[name] for name in OVERRIDES if name in changes}
    read = overrides_read({name: value for name, value in given.items() if value is not None})

    def change(terms: PhaseTerms) -> PhaseTerms:
        merged = terms.overrides.model_copy(update={name: getattr(read, name) for name in given})
        changed = replace(terms, overrides=merged)
        if "trial_until" in changes:
            changed = replace(changed, trial_until=changes["trial_until"])
        if "rate_card" in changes and changes["rate_card"] != changed.card_key:
            changed = replace(changed, card_key=changes["rate_card"], card_version=None)
        if "rate_card_version" in changes:
            changed = replace(changed, card_version=changes["rate_card_version"])
        return changed

    return change


def _fit(
    agreement: Agreement,
    terms: PhaseTerms,
    published: Mapping[str, Sequence[Any]],
    changes: Mapping[str, Any],
) -> None:
    """The terms' card is published, in the agreement's currency, and takes the overrides."""
    cards: list[RateCard] = [each.card for each in published.get(terms.card_key, [])]
    if terms.card_version is not None:
        cards = [card for card in cards if card.version == terms.card_version]
    if not cards:
        field = "rate_card_version" if "rate_card_version" in changes else "rate_card"
        raise ValidationFailed.of(
            field, f"{terms.card_key} is not published", hint="See GET /api/v1/rate-cards."
        )
    for card in cards:
        currency_check(agreement=agreement, card=card)
        try:
            card_with(card, terms.overrides)
        except ValidationError as error:
            raise invalid(error) from error


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | list | dict | None) else str(value)
