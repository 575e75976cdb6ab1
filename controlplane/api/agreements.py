"""/api/v1/rate-cards, /tenants/{slug}/agreement and /rerate: what a tenant has agreed to pay."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from pydantic import ValidationError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.agreements.selectors import agreement_shape, rate_card_get, rate_cards_list
from billing.agreements.services import Recorder
from billing.agreements.terms import TERMS, agreement_terms_change, invalid, overrides_read
from billing.charges.rerate import rerate
from billing.invoicing.selectors import billed_until
from billing.period import period_parse
from billing.rating.cards import RateCard
from controlplane.accounts import roles
from controlplane.api import agreement_shapes as shapes
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, SLUG, documented
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import AnyField, page_of
from controlplane.api.usage import card_of
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.tenants.selectors import tenant_get


class MoneyField(serializers.CharField):
    """A decimal as text: a number of JSON would have been a float by now."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("must be a decimal string, never a number")
        return str(super().to_internal_value(data))


class TermsField(serializers.ListField):
    """Fees, prices, discounts or commitments, as billing.rating.cards reads them."""

    child = serializers.DictField(child=AnyField())


class RateCardsApi(Api):
    """Every published version."""

    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "rate_cards_list",
        "List published rate cards",
        tag="usage",
        description="A published version never changes. Prices are decimal strings.",
        answers={200: page_of(shapes.RateCardVersionShape)},
    )
    def get(self, request: Request) -> Response:
        return Response({"results": rate_cards_list(), "next": None, "previous": None})


class TenantAgreementApi(Api):
    """A tenant's agreement: which terms apply when."""

    scopes = {"GET": roles.BILLING_READ, "PATCH": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="TenantAgreementChange")
    class InputSerializer(serializers.Serializer[Any]):
        effective_from = serializers.DateTimeField(required=False, help_text="now if absent")
        effective_to = serializers.DateTimeField(required=False, help_text="open if absent")
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)
        rate_card = serializers.CharField(max_length=80, required=False)
        rate_card_version = serializers.IntegerField(
            min_value=1, required=False, allow_null=True, help_text="null: the version in force"
        )
        trial_until = serializers.DateTimeField(required=False, allow_null=True)
        base_fee = MoneyField(max_length=40, required=False, allow_null=True)
        fees = TermsField(required=False)
        prices = TermsField(required=False)
        discounts = TermsField(required=False)
        commitments = TermsField(required=False)

    @documented(
        "tenants_agreement_get",
        "Read a tenant's agreement",
        tag="usage",
        parameters=[SLUG],
        answers={200: shapes.AgreementShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        return Response(agreement_shape(tenant_id=tenant.id, slug=tenant.slug))

    @documented(
        "tenants_agreement_change",
        "Change a tenant's terms from a moment on",
        tag="usage",
        description="Each of `base_fee`, `fees`, `prices`, `discounts` and `commitments` that is given replaces "
        "that part of the contract; null or an empty list goes back to the rate card. Changing nothing leaves no "
        "trace. 409 `period_finalized` for a change under a month that is billed already, `currency_differs` for "
        "a rate card in another currency.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT],
        answers={200: shapes.AgreementShape},
        problems=[404, 409, 422],
    )
    def patch(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)
        now = clock.now()

        def work() -> Answer:
            agreement_terms_change(
                tenant_id=tenant.id,
                changes={name: body[name] for name in TERMS if name in body},
                start=body.get("effective_from", now),
                end=body.get("effective_to"),
                closed_until=billed_until(tenant_id=tenant.id),
                by=Recorder(self.principal.actor, now, tenant.team_id, body.get("reason", "")),
            )
            return Answer(200, dict(agreement_shape(tenant_id=tenant.id, slug=tenant.slug)), {})

        return self.once(work)


class TenantRerateApi(Api):
    """What a month would cost by other terms, line by line beside what it costs. Changes nothing."""

    scopes = {"POST": roles.BILLING_READ}

    @extend_schema_serializer(component_name="TenantRerateRequest")
    class InputSerializer(serializers.Serializer[Any]):
        period = serializers.CharField(required=False, help_text="YYYY-MM; this month if absent")
        rate_card = AnyField(
            required=False, help_text="the key of a published card, or a whole card as an object"
        )
        rate_card_version = serializers.IntegerField(
            min_value=1, required=False, help_text="of the published card; in force now if absent"
        )
        overrides = serializers.DictField(required=False, child=AnyField())
        known_at = serializers.DateTimeField(
            required=False, help_text="with the usage and terms as they were known then"
        )

    @documented(
        "tenants_rerate",
        "Rate a month by other terms, as a dry run",
        tag="usage",
        request=InputSerializer,
        parameters=[SLUG],
        answers={200: shapes.RerateShape},
        problems=[404, 422],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)
        if "rate_card" not in body and "overrides" not in body:
            raise ValidationFailed.of("rate_card", "give a rate card, overrides or both")
        now = clock.now()
        diff = rerate(
            customer=tenant,
            period=period_parse(body.get("period", now.strftime("%Y-%m"))),
            as_of=now,
            with_card=_card(body["rate_card"], body.get("rate_card_version"), now)
            if "rate_card" in body
            else None,
            with_override=overrides_read(body["overrides"]) if "overrides" in body else None,
            known_at=body.get("known_at"),
            fallback=card_of(tenant),
        )
        return Response(diff)


def _card(raw: Any, version: int | None, now: datetime) -> RateCard:
    if isinstance(raw, str):
        return rate_card_get(key=raw, version=version, at=now)
    if not isinstance(raw, dict):
        raise ValidationFailed.of("rate_card", "must be the key of a published card, or a card")
    try:
        return RateCard.model_validate({"key": "proposal", "version": 1, **raw})
    except ValidationError as error:
        raise invalid(error, within="/rate_card") from error
