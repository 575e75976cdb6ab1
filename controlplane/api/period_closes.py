"""/api/v1/period-closes, /api/v1/legal-entity and a tenant's billing profile."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoicing import parties
from billing.invoicing.close import period_close_begin, tenant_close_release
from billing.invoicing.doorbell import closes_ring_on_commit
from billing.invoicing.models import BillingProfile, LegalEntity
from billing.invoicing.selectors import close_find, closes_visible
from billing.invoicing.shape import close_shape
from billing.invoicing.tax import TAX_PROVIDERS
from billing.period import period_parse
from controlplane.accounts import roles
from controlplane.accounts.access import access_require, access_require_team
from controlplane.api import invoice_shapes as shapes
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, PAGED, SLUG, documented, in_path
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import page_of
from controlplane.core import clock
from controlplane.tenants.selectors import tenant_get

CLOSE_ID = in_path("close_id", "the close's id", OpenApiTypes.UUID)


class PeriodClosesApi(Api):
    """A close concerns every tenant of the team, so a key limited to some sees none."""

    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="PeriodCloseRequest")
    class InputSerializer(serializers.Serializer[Any]):
        period = serializers.CharField(max_length=7)
        without_grace = serializers.BooleanField(required=False, default=False)

    @documented(
        "period_closes_list",
        "List closes of months",
        tag="billing",
        parameters=PAGED,
        answers={200: page_of(shapes.PeriodCloseShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        rows, links = self.page(closes_visible(team_id=self.principal.team_id))
        return Response({"results": [close_shape(row) for row in rows], **links})

    @documented(
        "period_closes_begin",
        "Close a month",
        tag="billing",
        description=(
            "Begins the close, or goes on with it; the scheduler does so too once the grace for late events is over. "
            "`without_grace` does not wait for them."
        ),
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={202: shapes.PeriodCloseShape},
        problems=[409],
    )
    def post(self, request: Request) -> Response:
        access_require_team(self.principal)
        body = self.checked(self.InputSerializer)
        period = period_parse(body["period"])

        def work() -> Answer:
            close = period_close_begin(
                team_id=self.principal.team_id,
                period=period,
                at=clock.now(),
                actor=self.principal.actor,
                grace=timedelta(0) if body["without_grace"] else None,
            )
            closes_ring_on_commit()
            found = close_find(team_id=self.principal.team_id, close_id=close.pk)
            return Answer(202, close_shape(found), {"Location": f"/api/v1/period-closes/{close.pk}"})

        return self.once(work)


class PeriodCloseApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "period_closes_get",
        "Read a close: which tenants are done, which are held and why",
        tag="billing",
        parameters=[CLOSE_ID],
        answers={200: shapes.PeriodCloseShape},
        problems=[404],
    )
    def get(self, request: Request, close_id: UUID) -> Response:
        access_require_team(self.principal)
        return Response(close_shape(close_find(team_id=self.principal.team_id, close_id=close_id)))


class PeriodCloseReleaseApi(Api):
    scopes = {"POST": roles.BILLING_READ}

    @extend_schema_serializer(component_name="PeriodCloseReleaseRequest")
    class InputSerializer(serializers.Serializer[Any]):
        tenant = serializers.CharField(max_length=40)
        reason = serializers.CharField(max_length=500)

    @documented(
        "period_closes_release",
        "Let a held tenant go on",
        tag="billing",
        description="Its invoice is issued in spite of the drift; the reason and the figures are audited.",
        request=InputSerializer,
        parameters=[CLOSE_ID, *IDEMPOTENT],
        answers={202: shapes.PeriodCloseShape},
        problems=[404, 409],
    )
    def post(self, request: Request, close_id: UUID) -> Response:
        access_require_team(self.principal)
        close = close_find(team_id=self.principal.team_id, close_id=close_id)
        access_require(self.principal, roles.BILLING_WRITE)
        body = self.checked(self.InputSerializer)
        tenant = tenant_get(principal=self.principal, slug=body["tenant"])

        def work() -> Answer:
            tenant_close_release(
                close=close,
                tenant_id=tenant.id,
                reason=body["reason"],
                at=clock.now(),
                actor=self.principal.actor,
            )
            closes_ring_on_commit()
            return Answer(202, close_shape(close_find(team_id=self.principal.team_id, close_id=close_id)), {})

        return self.once(work)


class LegalEntityApi(Api):
    """Who the team invoices as; issued invoices keep what they say."""

    scopes = {"GET": roles.BILLING_READ, "PATCH": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="LegalEntityRequest")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200, required=False)
        address = serializers.ListField(
            child=serializers.CharField(max_length=120), max_length=6, required=False
        )
        country = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True)
        tax_id = serializers.CharField(max_length=40, required=False, allow_blank=True)
        email = serializers.EmailField(required=False, allow_blank=True)
        payment_details = serializers.CharField(max_length=500, required=False, allow_blank=True)
        due_days = serializers.IntegerField(min_value=0, max_value=365, required=False)
        number_prefix = serializers.RegexField(r"^[A-Z0-9][A-Z0-9/-]{0,11}$", required=False)
        credit_note_prefix = serializers.RegexField(r"^[A-Z0-9][A-Z0-9/-]{0,11}$", required=False)
        tax_provider = serializers.ChoiceField(TAX_PROVIDERS, required=False)
        tax_rates = serializers.ListField(
            child=serializers.DictField(child=serializers.CharField(allow_null=True)),
            max_length=200,
            required=False,
        )

    @documented(
        "legal_entity_get",
        "Read who the team invoices as",
        tag="billing",
        answers={200: shapes.LegalEntityShape},
    )
    def get(self, request: Request) -> Response:
        return Response(_entity(parties.legal_entity_of(team_id=self.principal.team_id, at=clock.now())))

    @documented(
        "legal_entity_update",
        "Change who the team invoices as",
        tag="billing",
        description="Which taxes are owed, at which rate and since when, is the operator's own responsibility.",
        request=InputSerializer,
        answers={200: shapes.LegalEntityShape},
    )
    def patch(self, request: Request) -> Response:
        access_require_team(self.principal)
        changes = self.checked(self.InputSerializer, partial=True)
        entity = parties.legal_entity_update(
            team_id=self.principal.team_id, changes=changes, actor=self.principal.actor, at=clock.now()
        )
        return Response(_entity(entity))


class TenantBillingProfileApi(Api):
    """The buyer on a tenant's invoices."""

    scopes = {"GET": roles.BILLING_READ, "PATCH": roles.BILLING_READ}

    @extend_schema_serializer(component_name="BillingProfileRequest")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200, required=False, allow_blank=True)
        address = serializers.ListField(
            child=serializers.CharField(max_length=120), max_length=6, required=False
        )
        country = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True)
        tax_id = serializers.CharField(max_length=40, required=False, allow_blank=True)
        email = serializers.EmailField(required=False, allow_blank=True)
        purchase_order = serializers.CharField(max_length=80, required=False, allow_blank=True)

    @documented(
        "tenants_billing_profile",
        "Read the buyer on a tenant's invoices",
        tag="billing",
        parameters=[SLUG],
        answers={200: shapes.PartyShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        return Response(_profile(parties.billing_profile_of(tenant_id=tenant.id, at=clock.now())))

    @documented(
        "tenants_billing_profile_update",
        "Change the buyer on a tenant's invoices",
        tag="billing",
        request=InputSerializer,
        parameters=[SLUG],
        answers={200: shapes.PartyShape},
        problems=[404],
    )
    def patch(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        access_require(self.principal, roles.BILLING_WRITE)
        changes = self.checked(self.InputSerializer, partial=True)
        profile = parties.billing_profile_update(
            tenant_id=tenant.id,
            team_id=self.principal.team_id,
            changes=changes,
            actor=self.principal.actor,
            at=clock.now(),
        )
        return Response(_profile(profile))


def _entity(entity: LegalEntity) -> dict[str, Any]:
    told = {name: getattr(entity, name) for name in parties.ENTITY_FIELDS}
    return {**told, "updated_at": clock.moment_text(entity.updated_at)}


def _profile(profile: BillingProfile) -> dict[str, Any]:
    return {name: getattr(profile, name) for name in parties.PROFILE_FIELDS}
