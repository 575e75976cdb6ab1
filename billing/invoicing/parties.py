"""Seller and buyer: the legal entity a team invoices as, and what a tenant wants on its invoices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from django.db import transaction
from pydantic import ValidationError

from billing.directory import BilledCustomer
from billing.invoicing.models import BillingProfile, LegalEntity
from billing.invoicing.tax import TAX_PROVIDERS, TAX_RATES
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import ValidationFailed

ENTITY_FIELDS = (
    "name", "address", "country", "tax_id", "email", "payment_details", "due_days", "number_prefix",
    "credit_note_prefix", "tax_provider", "tax_rates",
)  # fmt: skip
PROFILE_FIELDS = ("name", "address", "country", "tax_id", "email", "purchase_order")
#: The seller until a team says who it is.
DEFAULT_NAME = "Freehold"


class SellerOnInvoice(TypedDict):
    name: str
    address: list[str]
    country: str
    tax_id: str
    email: str
    payment_details: str


class BuyerOnInvoice(TypedDict):
    """`tenant_created_at` and `tenant_ended_at` are what the fees run by, for computing the invoice again."""

    name: str
    slug: str
    address: list[str]
    country: str
    tax_id: str
    email: str
    purchase_order: str
    tenant_name: str
    tenant_created_at: str
    tenant_ended_at: str | None


@dataclass(frozen=True)
class FormerCustomer:
    """The customer as an invoice remembers it."""

    id: UUID
    slug: str
    name: str
    created_at: datetime
    ended_at: datetime | None


def legal_entity_of(*, team_id: UUID, at: datetime) -> LegalEntity:
    """The team's, made with defaults (no address, no tax, 14 days) where it has not said."""
    entity, _ = LegalEntity.objects.get_or_create(
        team_id=team_id, defaults={"name": DEFAULT_NAME, "created_at": at, "updated_at": at}
    )
    return entity


def legal_entity_update(
    *, team_id: UUID, changes: Mapping[str, Any], actor: str, at: datetime
) -> LegalEntity:
    """Changes fields of ENTITY_FIELDS; invoices that are issued keep what they say. Raises ValidationFailed naming
    `tax_rates` or `tax_provider`."""
    if changes.get("tax_provider", "none") not in TAX_PROVIDERS:
        raise ValidationFailed.of("tax_provider", f"must be one of {', '.join(TAX_PROVIDERS)}")
    known = {name: value for name, value in changes.items() if name in ENTITY_FIELDS}
    if "tax_rates" in known:
        known["tax_rates"] = _rates(known["tax_rates"])
    with transaction.atomic():
        entity = legal_entity_of(team_id=team_id, at=at)
        LegalEntity.objects.filter(pk=entity.pk).update(**known, updated_at=at)
        audit_record(
            at=at, actor=actor, action="legal_entity.updated", subject_type="legal_entity",
            subject_id=str(entity.pk), team_id=team_id, data={"changed": sorted(known)},
        )  # fmt: skip
    entity.refresh_from_db()
    return entity


def billing_profile_of(*, tenant_id: UUID, at: datetime) -> BillingProfile:
    """The tenant's, empty where it has none; not stored by this."""
    found = BillingProfile.objects.filter(pk=tenant_id).first()
    return found or BillingProfile(tenant_id=tenant_id, updated_at=at)


def billing_profile_update(
    *, tenant_id: UUID, team_id: UUID, changes: Mapping[str, Any], actor: str, at: datetime
) -> BillingProfile:
    known = {name: value for name, value in changes.items() if name in PROFILE_FIELDS}
    with transaction.atomic():
        profile, _ = BillingProfile.objects.update_or_create(
            tenant_id=tenant_id, defaults={**known, "updated_at": at}
        )
        audit_record(
            at=at, actor=actor, action="billing_profile.updated", subject_type="tenant",
            subject_id=str(tenant_id), team_id=team_id, data={"changed": sorted(known)},
        )  # fmt: skip
    return profile


def seller_of(entity: LegalEntity) -> SellerOnInvoice:
    return SellerOnInvoice(
        name=entity.name,
        address=list(entity.address),
        country=entity.country,
        tax_id=entity.tax_id,
        email=entity.email,
        payment_details=entity.payment_details,
    )


def buyer_of(customer: BilledCustomer, profile: BillingProfile) -> BuyerOnInvoice:
    return BuyerOnInvoice(
        name=profile.name or customer.name,
        slug=customer.slug,
        address=list(profile.address),
        country=profile.country,
        tax_id=profile.tax_id,
        email=profile.email or customer.contact_email,
        purchase_order=profile.purchase_order,
        tenant_name=customer.name,
        tenant_created_at=moment_text(customer.created_at),
        tenant_ended_at=moment_text_or_none(customer.ended_at),
    )


def customer_of_buyer(tenant_id: UUID, buyer: Mapping[str, Any]) -> FormerCustomer:
    ended = buyer.get("tenant_ended_at")
    return FormerCustomer(
        id=tenant_id,
        slug=buyer["slug"],
        name=buyer["tenant_name"],
        created_at=datetime.fromisoformat(buyer["tenant_created_at"]),
        ended_at=None if ended is None else datetime.fromisoformat(ended),
    )


def _rates(raw: Any) -> list[dict[str, Any]]:
    try:
        rates = TAX_RATES.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "/".join(["/tax_rates", *(str(part) for part in first["loc"])])
        raise ValidationFailed.of(pointer, first["msg"]) from error
    return [rate.model_dump(mode="json") for rate in rates]
