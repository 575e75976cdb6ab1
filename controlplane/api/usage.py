"""/api/v1/usage/events and the reads of usage and money."""

import json
from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from billing.invoicing.selectors import invoice_preview
from billing.metering.catalogue import METERS
from billing.metering.selectors import fleet_usage_query, meters_list, usage_query
from billing.metering.windows import WINDOW_SIZES
from billing.period import period_parse
from billing.rating.cards import RateCard
from billing.reports.render import FORMATS, usage_file
from billing.reports.selectors import usage_report
from controlplane.accounts import roles
from controlplane.api import money_shapes as shapes
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, SLUG, documented, query
from controlplane.api.idempotency import Answer
from controlplane.api.ingest import MAX_BATCH, envelope_of, events_of_body, ingest
from controlplane.api.limits import EVENTS
from controlplane.api.moments import moment_asked
from controlplane.api.shapes import page_of
from controlplane.core import clock
from controlplane.core.errors import CallerError, ValidationFailed
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.selectors import tenant_get, tenants_visible

PERIOD = query(
    "period",
    "month; this month if absent",
    {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-11"]},
)


class AnyBodyParser(BaseParser):
    """Hands the raw body on: a binary CloudEvent may have any content type."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return bytes(stream.read())


class UsageEventsApi(Api):
    """CloudEvents in: structured, batch or binary. Each event has its own outcome; a bad one fails no other."""

    scopes = {"POST": roles.USAGE_WRITE}
    parser_classes = [AnyBodyParser]
    limit_kind = EVENTS

    @documented(
        "usage_events_send",
        "Send usage events",
        tag="usage",
        description=(
            "CloudEvents 1.0: one event, a batch of at most 1000, or the binary mode (attributes as `ce-*` "
            "headers, the data as the body). Each event has its own outcome, so the answer is 200 even where "
            "events are rejected. Sending an event again is safe: it is counted once."
        ),
        request={
            "application/cloudevents-batch+json": shapes.CloudEventShape(many=True),
            "application/cloudevents+json": shapes.CloudEventShape,
        },
        parameters=IDEMPOTENT,
        answers={200: shapes.IngestAnswerShape},
        problems=[409, 503],
    )
    def post(self, request: Request) -> Response | HttpResponse:
        body = request.data if isinstance(request.data, bytes) else b""
        events = events_of_body(content_type=request.content_type or "", headers=request.headers, body=body)
        if len(events) > MAX_BATCH:
            raise CallerError(f"A batch may hold at most {MAX_BATCH} events.", code="batch_too_large")

        if "Idempotency-Key" not in request.headers:
            answer = ingest(principal=self.principal, events=events, received_at=clock.now())
            return HttpResponse(msgspec.json.encode(answer), content_type="application/json")

        def work() -> Answer:
            answer = ingest(principal=self.principal, events=events, received_at=clock.now())
            return Answer(200, msgspec.to_builtins(answer), {})

        envelope = envelope_of(content_type=request.content_type or "", headers=request.headers)
        return self.once(work, besides=envelope)


class MetersApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented("meters_list", "List meters", tag="usage", answers={200: page_of(shapes.MeterShape)})
    def get(self, request: Request) -> Response:
        return Response({"results": meters_list(), "next": None, "previous": None})


class TenantUsageApi(Api):
    """`meter, from, to, window=hour|day|month, group_by, timezone`; without `from` and `to`, this month."""

    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "tenants_usage",
        "Query a tenant's usage",
        tag="usage",
        parameters=[
            SLUG,
            query("meter", "as GET /meters lists them", required=True, enum=tuple(METERS)),
            query("from", "start; this month's if absent", OpenApiTypes.DATETIME),
            query("to", "end, excluded; this month's if absent", OpenApiTypes.DATETIME),
            query("window", "length of a result", enum=WINDOW_SIZES, default="day"),
            query("group_by", "a dimension of the meter"),
            query(
                "timezone",
                "IANA name; days and months are cut in it",
                {"type": "string", "default": "UTC", "examples": ["Europe/Berlin"]},
            ),
            query("known_at", "as known then; as known now if absent", OpenApiTypes.DATETIME),
        ],
        answers={200: shapes.UsageShape},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        return Response(usage_query(tenant_id=tenant.id, **_asked(request.query_params)))


class FleetUsageApi(Api):
    """Usage of several tenants at once: those named, or all the caller may see."""

    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "usage_query",
        "Query the fleet's usage",
        tag="usage",
        parameters=[
            query("meter", "as GET /meters lists them", required=True, enum=tuple(METERS)),
            query("tenant", "slug; may be given several times; all you can see if absent", many=True),
            query("from", "start; this month's if absent", OpenApiTypes.DATETIME),
            query("to", "end, excluded; this month's if absent", OpenApiTypes.DATETIME),
            query("window", "length of a result", enum=WINDOW_SIZES, default="day"),
            query("group_by", "`tenant`, or a dimension of the meter"),
            query("timezone", "IANA name", {"type": "string", "default": "UTC"}),
            query("known_at", "as known then; as known now if absent", OpenApiTypes.DATETIME),
        ],
        answers={200: shapes.UsageShape},
        problems=[404, 422],
    )
    def get(self, request: Request) -> Response:
        params = request.query_params
        slugs = params.getlist("tenant")
        if slugs:
            found = [tenant_get(principal=self.principal, slug=slug) for slug in dict.fromkeys(slugs)]
            tenants = {tenant.id: tenant.slug for tenant in found}
        else:
            tenants = dict(tenants_visible(principal=self.principal).values_list("id", "slug"))
        return Response(fleet_usage_query(tenants=tenants, **_asked(params)))


def _asked(params: Any) -> dict[str, Any]:
    """What every query of usage takes; without `from` and `to` it is this month."""
    now = clock.now()
    month = period_parse(now.strftime("%Y-%m"))
    return {
        "meter": params.get("meter", ""),
        "start": moment_asked(params, "from") or month.start,
        "end": moment_asked(params, "to") or month.end,
        "window": params.get("window", "day"),
        "group_by": params.get("group_by"),
        "timezone": params.get("timezone", "UTC"),
        "as_of": now,
        "known_at": moment_asked(params, "known_at"),
    }


class BytesRenderer(BaseRenderer):
    """Lets `?format=csv|pdf` pass DRF's negotiation; the view answers with the bytes itself."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return data if isinstance(data, bytes) else json.dumps(data).encode()


class TenantUsageReportApi(Api):
    """`period=YYYY-MM` (default: this month), `format=json|csv|pdf`."""

    scopes = {"GET": roles.BILLING_READ}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` is ours here: DRF would answer 404 for a format without a renderer.
        return self.get_renderers()[0], "application/json"

    @documented(
        "tenants_usage_report",
        "Read a month's usage report",
        tag="usage",
        parameters=[SLUG, PERIOD, query("format", "of the answer", enum=FORMATS, default="json")],
        answers={
            (200, "application/json"): shapes.UsageReportShape,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/pdf"): OpenApiTypes.BINARY,
        },
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response | HttpResponse:
        tenant = tenant_get(principal=self.principal, slug=slug)
        now = clock.now()
        period = request.query_params.get("period", now.strftime("%Y-%m"))
        wanted = request.query_params.get("format", "json")
        if wanted not in FORMATS:
            raise ValidationFailed.of("format", "must be json, csv or pdf")
        report = usage_report(tenant=tenant, period=period, card=card_of(tenant), as_of=now)
        if wanted == "json":
            return Response(report)
        file = usage_file(report, wanted)
        name = f'attachment; filename="{file.name}"'
        return HttpResponse(
            file.content, content_type=file.content_type, headers={"Content-Disposition": name}
        )


class TenantInvoicePreviewApi(Api):
    """The current month's invoice as it would be now; `period=YYYY-MM` for another."""

    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "tenants_invoice_preview",
        "Preview a month's invoice",
        tag="usage",
        parameters=[SLUG, PERIOD],
        answers={200: shapes.InvoiceShape},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        now = clock.now()
        period = period_parse(request.query_params.get("period", now.strftime("%Y-%m")))
        preview = invoice_preview(customer=tenant, card=card_of(tenant), period=period, as_of=now)
        return Response(preview)


def card_of(tenant: Tenant) -> RateCard:
    return RateCard.model_validate(plans()[tenant.plan].rate_card)
