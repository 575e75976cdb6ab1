"""/api/v1/usage-report over several tenants, /api/v1/report-schedules and /api/v1/tenants/{slug}/report-links."""

import secrets
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.reports.fleet import fleet_report
from billing.reports.links import (
    DEFAULT_DAYS,
    report_link_create,
    report_link_representation,
    report_link_revoke,
    report_links_of,
)
from billing.reports.models import CADENCES, LINK_SCOPES, USAGE, ReportSchedule
from billing.reports.render import FORMATS, fleet_file
from billing.reports.schedules import (
    report_schedule_create,
    report_schedule_delete,
    report_schedule_etag,
    report_schedule_get,
    report_schedule_representation,
    report_schedule_update,
    report_schedules_of,
)
from controlplane.accounts import roles
from controlplane.accounts.access import access_require_team
from controlplane.api import budget_shapes as shapes
from controlplane.api.base import Api, etags_wanted
from controlplane.api.document import ETAG, IDEMPOTENT, IF_MATCH, PAGED, SLUG, documented, in_path, query
from controlplane.api.idempotency import Answer
from controlplane.api.money_shapes import FleetReportShape
from controlplane.api.shapes import page_of
from controlplane.api.usage import PERIOD
from controlplane.core import clock
from controlplane.core.errors import NotFound, ValidationFailed
from controlplane.tenants.billed import billed
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get, tenants_visible

SCHEDULE_ID = in_path("schedule_id", "the schedule's id", OpenApiTypes.UUID)
LINK_ID = in_path("link_id", "the link's id", OpenApiTypes.UUID)
#: Random bytes of a webhook's secret (Standard Webhooks: 24 to 64).
SECRET_BYTES = 32


class FleetUsageReportApi(Api):
    """`period=YYYY-MM` (default: this month), `format=json|csv|pdf`, over the tenants the caller sees."""

    scopes = {"GET": roles.BILLING_READ}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` is ours here: DRF would answer 404 for a format without a renderer.
        return self.get_renderers()[0], "application/json"

    @documented(
        "usage_report",
        "Read a month's usage report of all tenants",
        tag="usage",
        description="Of the tenants that you see. Each row equals that tenant's own report; amounts of different "
        "currencies are not added up.",
        parameters=[PERIOD, query("format", "of the answer", enum=FORMATS, default="json")],
        answers={
            (200, "application/json"): FleetReportShape,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
        },
        problems=[422],
    )
    def get(self, request: Request) -> Response | HttpResponse:
        now = clock.now()
        period = request.query_params.get("period", now.strftime("%Y-%m"))
        wanted = request.query_params.get("format", "json")
        if wanted not in FORMATS:
            raise ValidationFailed.of("format", f"must be one of {', '.join(FORMATS)}")
        tenants = tenants_visible(principal=self.principal).order_by("created_at", "pk")
        report = fleet_report(customers=[billed(tenant) for tenant in tenants], period=period, as_of=now)
        if wanted == "json":
            return Response(report)
        file = fleet_file(report, wanted)
        name = f'attachment; filename="{file.name}"'
        return HttpResponse(
            file.content, content_type=file.content_type, headers={"Content-Disposition": name}
        )


class _ReportScheduleChange(serializers.Serializer[Any]):
    cadence = serializers.ChoiceField(choices=[(word, word) for word in CADENCES])
    format = serializers.CharField(max_length=4, required=False, help_text=f"one of {', '.join(FORMATS)}")
    emails = serializers.ListField(child=serializers.CharField(max_length=254), required=False)
    webhook_url = serializers.CharField(max_length=2000, required=False, allow_null=True)
    active = serializers.BooleanField(required=False)


class _SchedulesApi(Api):
    scopes = {
        "GET": roles.BILLING_READ,
        "POST": roles.BILLING_WRITE,
        "PATCH": roles.BILLING_WRITE,
        "DELETE": roles.BILLING_WRITE,
    }

    def visible(self) -> QuerySet[ReportSchedule]:
        """The team's; for a principal limited to some tenants those of the same."""
        found = report_schedules_of(team_id=self.principal.team_id)
        if self.principal.tenant_ids is None:
            return found
        return found.filter(tenant_id__in=self.principal.tenant_ids)

    def schedule_of(self, schedule_id: UUID) -> ReportSchedule:
        if not self.visible().filter(pk=schedule_id).exists():
            raise NotFound("There is no such schedule.")
        return report_schedule_get(team_id=self.principal.team_id, schedule_id=schedule_id)

    def shown(self, schedule: ReportSchedule) -> dict[str, Any]:
        tenant = Tenant.objects.filter(pk=schedule.tenant_id).first() if schedule.tenant_id else None
        return report_schedule_representation(schedule, tenant=tenant.slug if tenant else None)


class ReportSchedulesApi(_SchedulesApi):
    @extend_schema_serializer(component_name="ReportScheduleRequest")
    class InputSerializer(_ReportScheduleChange):
        tenant = serializers.CharField(
            max_length=40, required=False, allow_null=True, help_text="slug; null: all tenants"
        )

    @documented(
        "report_schedules_list",
        "List report schedules",
        tag="reports",
        description="A key limited to some tenants sees those of the same.",
        parameters=PAGED,
        answers={200: page_of(shapes.ReportScheduleShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        rows, links = self.page(self.visible())
        return Response({"results": [self.shown(row) for row in rows], **links})

    @documented(
        "report_schedules_create",
        "Send reports by the clock",
        tag="reports",
        description="`monthly`: on the 1st at 02:00 UTC, about the month before. `weekly`: on Mondays at 02:00 UTC, "
        "about the month so far. E-mails carry the file, webhooks the report as `usage_report.ready`. The webhook's "
        "secret is shown in this answer only.",
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.ReportScheduleChangedShape},
        problems=[404, 409],
    )
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)
        slug = body.pop("tenant", None)
        if slug is None:
            access_require_team(self.principal)
        tenant = tenant_get(principal=self.principal, slug=slug) if slug is not None else None

        def work() -> Answer:
            schedule, secret = report_schedule_create(
                team_id=self.principal.team_id,
                tenant_id=tenant.id if tenant else None,
                actor=self.principal.actor,
                now=clock.now(),
                secret_bytes=secrets.token_bytes(SECRET_BYTES),
                **body,
            )
            headers = {"Cache-Control": "no-store"}
            return Answer(201, {**self.shown(schedule), "webhook_secret": secret}, headers)

        return self.once(work)


class ReportScheduleApi(_SchedulesApi):
    @extend_schema_serializer(component_name="ReportScheduleChange")
    class InputSerializer(_ReportScheduleChange):
        """What may be changed; a schedule keeps its tenant."""

    @documented(
        "report_schedules_get",
        "Read a report schedule",
        tag="reports",
        parameters=[SCHEDULE_ID, ETAG],
        answers={200: shapes.ReportScheduleShape},
        problems=[404],
    )
    def get(self, request: Request, schedule_id: UUID) -> Response:
        schedule = self.schedule_of(schedule_id)
        return Response(self.shown(schedule), headers={"ETag": report_schedule_etag(schedule)})

    @documented(
        "report_schedules_change",
        "Change a report schedule",
        tag="reports",
        request=InputSerializer,
        parameters=[SCHEDULE_ID, IF_MATCH, ETAG],
        answers={200: shapes.ReportScheduleChangedShape},
        problems=[404, 412],
    )
    def patch(self, request: Request, schedule_id: UUID) -> Response:
        schedule = self.schedule_of(schedule_id)
        updated, secret = report_schedule_update(
            schedule=schedule,
            changes=self.checked(self.InputSerializer, partial=True),
            actor=self.principal.actor,
            now=clock.now(),
            secret_bytes=secrets.token_bytes(SECRET_BYTES),
            etags=etags_wanted(request),
        )
        headers = {"ETag": report_schedule_etag(updated), "Cache-Control": "no-store"}
        return Response({**self.shown(updated), "webhook_secret": secret}, headers=headers)

    @documented(
        "report_schedules_delete",
        "Delete a report schedule",
        tag="reports",
        parameters=[SCHEDULE_ID],
        answers={204: None},
        problems=[404],
    )
    def delete(self, request: Request, schedule_id: UUID) -> Response:
        schedule = self.schedule_of(schedule_id)
        report_schedule_delete(schedule=schedule, actor=self.principal.actor, now=clock.now())
        return Response(status=204)


class TenantReportLinksApi(Api):
    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="ReportLinkRequest")
    class InputSerializer(serializers.Serializer[Any]):
        label = serializers.CharField(  # type: ignore[assignment]  # a field, as DRF declares it
            max_length=100, required=False, allow_blank=True
        )
        expires_in_days = serializers.IntegerField(required=False, min_value=1, max_value=366)
        # Checked by the service: an enum of this name would collide with others of the document.
        scope = serializers.CharField(
            max_length=20,
            required=False,
            help_text=f"what it shows: one of {', '.join(LINK_SCOPES)}; `{USAGE}` if nothing is said",
        )

    @documented(
        "tenants_report_links_list",
        "List the links to a tenant's usage report",
        tag="reports",
        parameters=[SLUG, *PAGED],
        answers={200: page_of(shapes.ReportLinkShape)},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        rows, links = self.page(report_links_of(tenant_id=tenant.id))
        now = clock.now()
        results = [report_link_representation(row, now=now) for row in rows]
        return Response({"results": results, **links})

    @documented(
        "tenants_report_links_create",
        "Make a link to a tenant's usage report",
        tag="reports",
        description="Whoever has the address may read this tenant's usage report without a login, and with a wider "
        "`scope` its finalized invoices, its health and its agents, until it expires "
        "(after 30 days, if nothing else is said) or is revoked. The address is shown in this answer only.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT],
        answers={201: shapes.ReportLinkCreatedShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            now = clock.now()
            link, token = report_link_create(
                team_id=tenant.team_id,
                tenant_id=tenant.id,
                label=body.get("label", ""),
                days=body.get("expires_in_days", DEFAULT_DAYS),
                scope=body.get("scope", USAGE),
                secret=secrets.token_urlsafe(32),
                actor=self.principal.actor,
                now=now,
            )
            url = f"{settings.FREEHOLD_PUBLIC_URL}/shared/usage/{token}/"
            shown = {**report_link_representation(link, now=now), "url": url}
            return Answer(201, shown, {"Cache-Control": "no-store"})

        return self.once(work)


class TenantReportLinkApi(Api):
    scopes = {"DELETE": roles.BILLING_WRITE}

    @documented(
        "tenants_report_links_revoke",
        "Revoke a link to a tenant's usage report",
        tag="reports",
        parameters=[SLUG, LINK_ID],
        answers={204: None},
        problems=[404],
    )
    def delete(self, request: Request, slug: str, link_id: UUID) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        link = report_links_of(tenant_id=tenant.id).filter(pk=link_id).first()
        if link is None:
            raise NotFound("There is no such link.")
        report_link_revoke(link=link, actor=self.principal.actor, now=clock.now())
        return Response(status=204)
