"""Publishing rate cards: a (key, version) is written once, and never again with other content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.db import transaction

from billing.agreements.locks import rate_card_key_lock
from billing.agreements.models import RateCardVersion
from billing.rating.cards import RateCard
from controlplane.core.audit import audit_record
from controlplane.core.errors import OperatorError

#: A key's first version counts for all time before it was published too: what else would?
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rate_cards_publish(*, cards: Sequence[RateCard], actor: str, at: datetime) -> list[str]:
    """Publishes what is not published yet, all or nothing; returns the names of what was, such as `pro v2`.

    Raises OperatorError for other content under a published (key, version), and for a version that would take
    effect before an earlier one does.
    """
    with transaction.atomic():
        ordered = sorted(cards, key=lambda card: (card.key, card.version))
        return [name for card in ordered if (name := _publish(card, actor, at))]


def rate_card_ensure(*, card: RateCard, actor: str, at: datetime) -> None:
    """Publishes the card unless its (key, version) is published already, with whatever content."""
    if not RateCardVersion.objects.filter(key=card.key, version=card.version).exists():
        rate_cards_publish(cards=[card], actor=actor, at=at)


def card_read(body: Mapping[str, Any]) -> RateCard:
    """A card as the catalogue has it. Raises OperatorError that names what is wrong."""
    try:
        return RateCard.model_validate(body)
    except ValueError as error:
        raise OperatorError(
            f"The rate card {body.get('key')} is not valid: {error}", hint="Mend it in plans.toml."
        ) from error


def card_content(card: RateCard) -> tuple[dict[str, Any], str]:
    """The card's JSON and its SHA-256. What has a default is left out, so that a field that rate cards gain
    later does not change what is published."""
    body = card.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return body, hashlib.sha256(text.encode()).hexdigest()


def _publish(card: RateCard, actor: str, at: datetime) -> str | None:
    body, sha256 = card_content(card)
    rate_card_key_lock(card.key)
    published = list(RateCardVersion.objects.filter(key=card.key).order_by("version"))
    same = next((row for row in published if row.version == card.version), None)
    if same is not None:
        if same.sha256 == sha256:
            return None
        raise OperatorError(
            f"The rate card {card.key} v{card.version} is published with other content.",
            code="rate_card_changed",
            hint=f"Prices that are published never change: raise rate_card.version of {card.key} to "
            f"{max(row.version for row in published) + 1} in plans.toml.",
        )
    effective = card.effective_from or (at if published else _EVER)
    for row in published:
        if (row.version < card.version) != (row.effective_from <= effective):
            raise OperatorError(
                f"{card.key} v{card.version} would take effect at {effective.isoformat()}, on the wrong side of "
                f"v{row.version} ({row.effective_from.isoformat()}).",
                code="rate_card_out_of_order",
                hint="Versions take effect in the order of their numbers: change effective_from in plans.toml.",
            )
    RateCardVersion.objects.create(
        key=card.key,
        version=card.version,
        currency=card.currency,
        effective_from=effective,
        body=body,
        sha256=sha256,
        recorded_at=at,
    )
    name = f"{card.key} v{card.version}"
    audit_record(
        at=at,
        actor=actor,
        action="rate_card.published",
        subject_type="rate_card",
        subject_id=name,
        data={"sha256": sha256, "effective_from": effective, "currency": card.currency},
    )
    return name
