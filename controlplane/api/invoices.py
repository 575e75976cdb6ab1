"""/api/v1/invoices and /api/v1/credit-notes."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.directory import BilledCustomer, directory
from billing.exact import money_text
from billing.invoicing import selectors, services, states
from billing.invoicing.credit_notes import credit_note_issue
from billing.invoicing.explain import line_explain
from billing.invoicing.export import invoice_export
from billing.invoicing.models import Invoice, Settlement
from billing.invoicing.settling import late_usage_settle
from billing.invoicing.shape import credit_note_shape, invoice_shape
from billing.invoicing.sheet import invoice_csv, invoice_focus_csv
from billing.period import period_parse
from controlplane.accounts import roles
from controlplane.accounts.access import access_require
from controlplane.api import invoice_shapes as shapes
from controlplane.api.base import Api, choice_of, limit_of
from controlplane.api.document import IDEMPOTENT, LIMIT, PAGED, documented, in_path, query
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import page_of
from controlplane.api.usage import PERIOD
from controlplane.core import clock
from controlplane.core.errors import NotFound
from controlplane.tenants.selectors import tenant_get

VERBS = ("finalize", "void", "pay", "mark-uncollectible", "settle", "credit")
#: What a verb cannot do without.
WANTED: Final[dict[str, tuple[str, ...]]] = {
    "void": ("reason",),
    "mark-uncollectible": ("reason",),
    "pay": ("reference",),
    "credit": ("reason", "amount"),
}
FORMATS = ("json", "csv", "focus")
INVOICE_ID = in_path("invoice_id", "the invoice's id", OpenApiTypes.UUID)
_PDF = "application/pdf"
_CSV = "text/csv; charset=utf-8"


def shown(invoice: Invoice) -> dict[str, Any]:
    return invoice_shape(invoice, due=services.amount_due(invoice))


class InvoicesApi(Api):
    """Filters: tenant (slug), period, state; `format=csv|focus` gives the lines of the page."""

    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="InvoiceRequest")
    class InputSerializer(serializers.Serializer[Any]):
        tenant = serializers.CharField(max_length=40)
        period = serializers.CharField(max_length=7)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` is ours here: DRF would answer 404 for a format without a renderer.
        return self.get_renderers()[0], "application/json"

    @documented(
        "invoices_list",
        "List invoices",
        tag="billing",
        parameters=[
            query("tenant", "of the tenant of this slug"),
            PERIOD,
            query("state", "in this state", enum=states.STATES),
            query(
                "format", "json, or the lines as csv or in the columns of FOCUS", enum=FORMATS, default="json"
            ),
            *PAGED,
        ],
        answers={
            (200, "application/json"): page_of(shapes.StoredInvoiceShape),
            (200, "text/csv"): OpenApiTypes.STR,
        },
        problems=[404, 422],
    )
    def get(self, request: Request) -> Response | HttpResponse:
        slug, period = request.query_params.get("tenant"), request.query_params.get("period")
        found = selectors.invoices_visible(
            team_id=self.principal.team_id,
            tenant_ids=self.principal.tenant_ids,
            tenant_id=tenant_get(principal=self.principal, slug=slug).id if slug else None,
            period=period_parse(period) if period else None,
            state=choice_of(request, "state", states.STATES),
        )
        wanted = choice_of(request, "format", FORMATS) or "json"
        rows, links = self.page(found)
        invoices = [shown(row) for row in rows]
        if wanted == "json":
            return Response({"results": invoices, **links})
        text = invoice_csv(invoices) if wanted == "csv" else invoice_focus_csv(invoices)
        return _download(text, _CSV, f"invoices-{wanted}.csv")

    @documented(
        "invoices_draft",
        "Make a month's draft, or make it anew",
        tag="billing",
        description="The close of a month does this for every tenant by itself.",
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.StoredInvoiceShape},
        problems=[404, 409],
    )
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)
        tenant = tenant_get(principal=self.principal, slug=body["tenant"])
        period = period_parse(body["period"])

        def work() -> Answer:
            invoice = services.invoice_draft(
                customer=_customer(tenant.id), period=period, at=clock.now(), actor=self.principal.actor
            )
            return Answer(201, shown(self._found(invoice.pk)), {"Location": f"/api/v1/invoices/{invoice.pk}"})

        return self.once(work)

    def _found(self, invoice_id: UUID) -> Invoice:
        return invoice_of(self, invoice_id)


def invoice_of(api: Api, invoice_id: UUID) -> Invoice:
    return selectors.invoice_find(
        team_id=api.principal.team_id, tenant_ids=api.principal.tenant_ids, invoice_id=invoice_id
    )


class InvoiceApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "invoices_get",
        "Read an invoice",
        tag="billing",
        parameters=[INVOICE_ID],
        answers={200: shapes.StoredInvoiceShape},
        problems=[404],
    )
    def get(self, request: Request, invoice_id: UUID) -> Response:
        return Response(shown(invoice_of(self, invoice_id)))


class InvoiceFileApi(Api):
    """The invoice as `.pdf` or `.csv`."""

    scopes = {"GET": roles.BILLING_READ}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A file whatever is accepted; only problems are JSON.
        return self.get_renderers()[0], "application/json"

    @documented(
        "invoices_file",
        "Download an invoice",
        tag="billing",
        parameters=[
            INVOICE_ID,
            in_path("suffix", "the kind of file", enum=("pdf", "csv")),
            query(
                "format", "of a csv: its lines, or the columns of FOCUS", enum=("csv", "focus"), default="csv"
            ),
        ],
        answers={(200, _PDF): OpenApiTypes.BINARY, (200, "text/csv"): OpenApiTypes.STR},
        problems=[404, 422],
    )
    def get(self, request: Request, invoice_id: UUID, suffix: str) -> HttpResponse:
        invoice = invoice_of(self, invoice_id)
        name = f"invoice-{invoice.number or 'draft'}"
        if suffix == "csv":
            focus = choice_of(request, "format", ("csv", "focus")) == "focus"
            text = invoice_focus_csv([shown(invoice)]) if focus else invoice_csv([shown(invoice)])
            return _download(text, _CSV, f"{name}{'-focus' if focus else ''}.csv")
        # Imported here: the PDF library takes a second to load, which every start would pay.
        from billing.invoicing.document import invoice_pdf

        return _download(invoice_pdf(shown(invoice)), _PDF, f"{name}.pdf")


class InvoiceExportApi(Api):
    """The hash-chained export, as JSON Lines; `freehold invoices verify` checks it, and so can a customer."""

    scopes = {"GET": roles.BILLING_READ}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"

    @documented(
        "invoices_export",
        "Export an invoice with every event behind it",
        tag="billing",
        description=(
            "JSON Lines: each record carries the SHA-256 of the one before. The head, which is given on the "
            "invoice once it was exported, is the same each time."
        ),
        parameters=[INVOICE_ID],
        answers={(200, "application/jsonl"): OpenApiTypes.STR},
        problems=[404, 409],
    )
    def get(self, request: Request, invoice_id: UUID) -> StreamingHttpResponse:
        invoice = invoice_of(self, invoice_id)
        lines = invoice_export(invoice=invoice, at=clock.now())
        return StreamingHttpResponse(
            lines,
            content_type="application/jsonl",
            headers={"Content-Disposition": f'attachment; filename="invoice-{invoice.number}.jsonl"'},
        )


class InvoiceLineExplainApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "invoices_explain",
        "Explain a line of an invoice",
        tag="billing",
        parameters=[INVOICE_ID, in_path("line_id", "the line's id", OpenApiTypes.UUID), LIMIT,
                    query("cursor", "`next` of another page of events; opaque")],
        answers={200: shapes.LineExplanationShape},
        problems=[404, 422],
    )  # fmt: skip
    def get(self, request: Request, invoice_id: UUID, line_id: UUID) -> Response:
        invoice = invoice_of(self, invoice_id)
        line = selectors.line_find(invoice=invoice, line_id=line_id)
        cursor = request.query_params.get("cursor")
        return Response(line_explain(invoice=invoice, line=line, limit=limit_of(request), after=cursor))


class InvoiceVerbApi(Api):
    """`finalize`, `void`, `pay`, `mark-uncollectible`, `settle`, `credit`."""

    scopes = {"POST": roles.BILLING_READ}

    @extend_schema_serializer(component_name="InvoiceVerbRequest")
    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
        reference = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
        amount = serializers.DecimalField(
            max_digits=38, decimal_places=4, required=False, allow_null=True, default=None
        )
        at_once = serializers.BooleanField(required=False, default=False)

    @documented(
        "invoices_act",
        "Finalize, void, pay, give up, settle or credit an invoice",
        tag="billing",
        description=(
            "`pay` wants a `reference`; `amount` there is a check. `void`, `mark-uncollectible` and `credit` want a "
            "`reason`, `credit` a net `amount`. `settle` bills or credits late usage of the invoice's month, at the "
            "next invoice or `at_once`."
        ),
        request=InputSerializer,
        parameters=[INVOICE_ID, in_path("verb", "what to do", enum=VERBS), *IDEMPOTENT],
        answers={200: shapes.StoredInvoiceShape},
        problems=[404, 409],
    )
    def post(self, request: Request, invoice_id: UUID, verb: str) -> Response:
        invoice = invoice_of(self, invoice_id)
        access_require(self.principal, roles.BILLING_WRITE)
        body = self.checked(self.InputSerializer)
        _wanted_check(verb, body)

        def work() -> Answer:
            extra = self._act(invoice, verb, body, clock.now())
            return Answer(200, {**shown(invoice_of(self, invoice_id)), **extra}, {})

        return self.once(work)

    def _act(self, invoice: Invoice, verb: str, body: dict[str, Any], at: datetime) -> dict[str, Any]:
        actor, reason = self.principal.actor, body["reason"]
        match verb:
            case "finalize":
                customer = _customer(invoice.tenant_id)
                services.invoice_finalize(invoice=invoice, customer=customer, at=at, actor=actor)
            case "void":
                services.invoice_void(invoice=invoice, reason=reason, at=at, actor=actor)
            case "pay":
                services.invoice_pay(
                    invoice=invoice, reference=body["reference"], amount=body["amount"], at=at, actor=actor
                )
            case "mark-uncollectible":
                services.invoice_uncollectible(invoice=invoice, reason=reason, at=at, actor=actor)
            case "settle":
                customer = _customer(invoice.tenant_id)
                settled = late_usage_settle(
                    invoice=invoice, customer=customer, at=at, actor=actor, at_once=body["at_once"]
                )
                return {"settlement": _settlement(invoice, settled)}
            case _:
                note = credit_note_issue(
                    invoice=invoice, amount=body["amount"], reason=reason, at=at, actor=actor
                )
                return {"credit_note": credit_note_shape(note)}
        return {}


class CreditNotesApi(Api):
    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "credit_notes_list",
        "List credit notes",
        tag="billing",
        parameters=[query("tenant", "of the tenant of this slug"), *PAGED],
        answers={200: page_of(shapes.CreditNoteShape)},
        problems=[404, 422],
    )
    def get(self, request: Request) -> Response:
        slug = request.query_params.get("tenant")
        rows, links = self.page(
            selectors.credit_notes_visible(
                team_id=self.principal.team_id,
                tenant_ids=self.principal.tenant_ids,
                tenant_id=tenant_get(principal=self.principal, slug=slug).id if slug else None,
            )
        )
        return Response({"results": [credit_note_shape(row) for row in rows], **links})


def _wanted_check(verb: str, body: dict[str, Any]) -> None:
    missing = [name for name in WANTED.get(verb, ()) if not body[name]]
    if missing:
        raise serializers.ValidationError({name: ["This field is required."] for name in missing})


def _customer(tenant_id: UUID) -> BilledCustomer:
    customer = directory().customer(tenant_id=tenant_id)
    if customer is None:
        raise NotFound("The invoice's tenant is gone.")
    return customer


def _settlement(invoice: Invoice, settled: Settlement | None) -> dict[str, Any]:
    return {
        "state": "unchanged" if settled is None else settled.state,
        "net": money_text(Decimal(0) if settled is None else settled.net, invoice.currency),
        "currency": invoice.currency,
        "invoice": None if settled is None or settled.invoice_id is None else str(settled.invoice_id),
        "credit_note": None
        if settled is None or settled.credit_note_id is None
        else str(settled.credit_note_id),
    }


def _download(content: str | bytes, media_type: str, name: str) -> HttpResponse:
    return HttpResponse(
        content, content_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
