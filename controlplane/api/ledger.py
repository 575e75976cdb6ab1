"""/api/v1: credits of a tenant, costs and their import, margins."""

import io
from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from billing.costs.imports import MODES, REPLACE, cost_feed_import
from billing.costs.selectors import cost_import_representation, cost_imports_of, costs
from billing.exact import decimal_text
from billing.ledger.billed import billed_gpu_hours
from billing.ledger.fleet import fleet_margin
from billing.ledger.grants import (
    credit_balances,
    credit_representation,
    grant_get,
    grants_of,
    grants_remaining,
)
from billing.ledger.margin import margin
from billing.ledger.models import SOURCES
from billing.ledger.services import credit_grant_create, credit_grant_void
from billing.ledger.shapes import fleet_representation, margin_representation
from billing.period import Period, period_parse
from controlplane.accounts import roles
from controlplane.accounts.access import access_require_team
from controlplane.api import ledger_shapes as shapes
from controlplane.api.base import Api, choice_of
from controlplane.api.document import IDEMPOTENT, PAGED, SLUG, documented, in_path, query
from controlplane.api.idempotency import Answer
from controlplane.api.moments import moment_asked
from controlplane.api.shapes import page_of
from controlplane.api.usage import PERIOD
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.tenants.billed import billed
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get

CREDIT_ID = in_path("credit_id", "the credit's id", OpenApiTypes.UUID)
FEED_NAME_MAX = 80


class CsvParser(BaseParser):
    """Hands the bytes on as they came."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return bytes(stream.read())


class GzipParser(CsvParser):
    media_type = "application/gzip"


class TenantCreditsApi(Api):
    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="CreditGrantRequest")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200)
        # DRF keeps declared fields apart from its own attribute of this name.
        source = serializers.ChoiceField(choices=SOURCES)  # type: ignore[assignment]
        currency = serializers.CharField(max_length=3, default="USD")
        amount = serializers.DecimalField(max_digits=20, decimal_places=4)
        priority = serializers.IntegerField(
            min_value=0, max_value=100, default=50, help_text="smaller is used first"
        )
        effective_at = serializers.DateTimeField(required=False, help_text="by default now")
        expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="by default never")

    @documented(
        "tenants_credits",
        "List a tenant's credits",
        tag="ledger",
        description="Newest first, with what is left of each at `at`, and the balance by currency.",
        parameters=[
            SLUG,
            query("at", "as the ledger was then; now if absent", OpenApiTypes.DATETIME),
            *PAGED,
        ],
        answers={200: shapes.CreditsShape},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        at = moment_asked(request.query_params, "at") or clock.now()
        rows, links = self.page(grants_of(tenant_id=tenant.id).filter(created_at__lte=at))
        remaining = grants_remaining(tenant_id=tenant.id, at=at)
        balances = credit_balances(tenant_id=tenant.id, at=at)
        return Response(
            {
                "results": [credit_representation(row, remaining, at) for row in rows],
                **links,
                "balances": {currency: decimal_text(amount) for currency, amount in balances.items()},
            }
        )

    @documented(
        "tenants_credit_grant",
        "Grant credit to a tenant",
        tag="ledger",
        description="Bought credit (`purchase`) is owed until it is used, and is breakage when it expires; a gift "
        "(`promotion`) reduces revenue when it is used.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT],
        answers={201: shapes.CreditShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            now = clock.now()
            grant = credit_grant_create(
                tenant_id=tenant.id, team_id=tenant.team_id, actor=self.principal.actor, now=now, **body
            )
            shown = credit_representation(grant, grants_remaining(tenant_id=tenant.id), now)
            return Answer(201, shown, {})

        return self.once(work)


class TenantCreditApi(Api):
    scopes = {"GET": roles.BILLING_READ, "DELETE": roles.BILLING_WRITE}

    @documented(
        "tenants_credit_get",
        "Read a credit",
        tag="ledger",
        parameters=[SLUG, CREDIT_ID],
        answers={200: shapes.CreditShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str, credit_id: UUID) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        grant = grant_get(tenant_id=tenant.id, grant_id=credit_id)
        remaining = grants_remaining(tenant_id=tenant.id)
        return Response(credit_representation(grant, remaining, clock.now()))

    @documented(
        "tenants_credit_void",
        "Void a credit",
        tag="ledger",
        description="What is left of it cannot be used any more; of a bought one it is owed back. 409 "
        "`credit_not_voidable` once it has expired or was voided.",
        parameters=[SLUG, CREDIT_ID],
        answers={200: shapes.CreditShape},
        problems=[404, 409],
    )
    def delete(self, request: Request, slug: str, credit_id: UUID) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        grant = grant_get(tenant_id=tenant.id, grant_id=credit_id)
        now = clock.now()
        grant = credit_grant_void(grant=grant, team_id=tenant.team_id, actor=self.principal.actor, now=now)
        return Response(credit_representation(grant, grants_remaining(tenant_id=tenant.id), now))


class TenantCostsApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "tenants_costs",
        "Read what a tenant costs",
        tag="ledger",
        description="By kind, day and the provider's service; and what no price is known for.",
        parameters=[SLUG, PERIOD],
        answers={200: shapes.CostsShape},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        period, now = _period(request)
        return Response(costs(tenant_id=tenant.id, period=period, as_of=now))


class CostImportsApi(Api):
    """The provider's bill in. It concerns the whole team's fleet."""

    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    parser_classes = [CsvParser, GzipParser]

    @documented(
        "cost_imports_list",
        "List cost imports",
        tag="ledger",
        parameters=PAGED,
        answers={200: page_of(shapes.CostImportShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        rows, links = self.page(cost_imports_of(pool_id=self.principal.team_id))
        return Response({"results": [cost_import_representation(row) for row in rows], **links})

    @documented(
        "cost_imports_create",
        "Import a provider's bill",
        tag="ledger",
        description="A CSV of AWS CUR 2.0 or FOCUS 1.x, plain or gzip, of at most 4 MiB as sent; larger ones go in by "
        "the command `costs_import`. Lines count for the tenant in their tag `freehold:tenant`, others are overhead. "
        "The same file again changes nothing. A malformed line refuses the whole file (422 `cost_feed_malformed`, "
        "`/lines/N` each).",
        request={("text/csv"): OpenApiTypes.STR, ("application/gzip"): OpenApiTypes.BINARY},
        parameters=[
            query("feed", "whose bill it is; bills of different feeds add up", default="aws"),
            query(
                "mode",
                "`replace`: the file is the whole of its billing months; `add`: a part of it, or changes",
                enum=MODES,
                default=REPLACE,
            ),
            query("dry_run", "say what it would do, and keep nothing", OpenApiTypes.BOOL, default=False),
            *IDEMPOTENT,
        ],
        answers={200: shapes.CostImportAnswerShape, 201: shapes.CostImportAnswerShape},
        problems=[409],
    )
    def post(self, request: Request) -> Response:
        access_require_team(self.principal)
        body = request.data if isinstance(request.data, bytes) else b""
        feed = request.query_params.get("feed") or "aws"
        if len(feed) > FEED_NAME_MAX:
            raise ValidationFailed.of("feed", f"must have at most {FEED_NAME_MAX} characters")
        mode = choice_of(request, "mode", MODES) or REPLACE
        dry_run = choice_of(request, "dry_run", ("true", "false")) == "true"

        def work() -> Answer:
            outcome = cost_feed_import(
                pool_id=self.principal.team_id,
                stream=io.BytesIO(body),
                feed=feed,
                mode=mode,
                dry_run=dry_run,
                actor=self.principal.actor,
                now=clock.now(),
            )
            shown = {
                **cost_import_representation(outcome.cost_import),
                "fresh": outcome.fresh,
                "dry_run": outcome.dry_run,
            }
            return Answer(201 if outcome.fresh and not dry_run else 200, shown, {})

        return self.once(work, besides=f"{feed} {mode} {dry_run}".encode())


class TenantMarginApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "tenants_margin",
        "Read a tenant's margin",
        tag="ledger",
        description="Revenue less cost by the ledger, and GPU hours paid for, busy and billed.",
        parameters=[SLUG, PERIOD],
        answers={200: shapes.MarginAnswerShape},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        period, now = _period(request)
        hours = billed_gpu_hours(customer=billed(tenant), period=period, as_of=now)
        found = margin(tenant_id=tenant.id, period=period, as_of=now, billed_gpu_hours=hours)
        return Response(margin_representation(found, slug=tenant.slug, period=period))


class FleetMarginApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "fleet_margin",
        "Read the fleet's margin",
        tag="ledger",
        description="Every tenant of the team that lived in the month or has something in its books, what is left in "
        "the fleet's own book, and their sums. GPU hours are brought to date by the hour.",
        parameters=[PERIOD],
        answers={200: shapes.FleetMarginShape},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        period, now = _period(request)
        tenants = Tenant.objects.filter(team_id=self.principal.team_id).order_by("slug", "created_at")
        customers = [billed(tenant) for tenant in tenants]
        lived = {each.id: each for each in customers if each.lived_in(period)}
        hours = {
            key: billed_gpu_hours(customer=each, period=period, as_of=now) for key, each in lived.items()
        }
        found, totals = fleet_margin(
            pool_id=self.principal.team_id, tenants=customers, period=period, billed=hours
        )
        rows = [each for each in found if each.lines or each.book_id in lived]
        slugs = {each.id: each.slug for each in customers}
        return Response(fleet_representation(rows, totals, slugs=slugs, period=period))


def _period(request: Request) -> tuple[Period, datetime]:
    now = clock.now()
    return period_parse(request.query_params.get("period", now.strftime("%Y-%m"))), now
