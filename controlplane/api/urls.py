"""Paths below /api/v1, as contract.md section 3 fixes them."""

from django.urls import path, re_path
from django.urls.converters import UUIDConverter
from django.views.decorators.common import no_append_slash
from django.views.decorators.csrf import csrf_exempt

from controlplane.api import (
    agreements,
    catalogue,
    corrections,
    events,
    invoices,
    keys,
    ledger,
    operations,
    period_closes,
    snapshots,
    tenants,
    usage,
)
from controlplane.core.failures import not_found
from controlplane.tenants import states

urlpatterns = [
    path("plans", catalogue.PlansApi.as_view()),
    path("targets", catalogue.TargetsApi.as_view()),
    path("tenants", tenants.TenantsApi.as_view()),
    path("tenants/<str:slug>", tenants.TenantApi.as_view()),
    path("tenants/<str:slug>/resources", tenants.TenantResourcesApi.as_view()),
    path("tenants/<str:slug>/outputs", tenants.TenantOutputsApi.as_view()),
    path("tenants/<str:slug>/stack/export", tenants.TenantStackExportApi.as_view()),
    path("tenants/<str:slug>/health", tenants.TenantHealthApi.as_view()),
    path("tenants/<str:slug>/timeline", tenants.TenantTimelineApi.as_view()),
    path("tenants/<str:slug>/credentials", tenants.TenantCredentialsApi.as_view()),
    path("tenants/<str:slug>/snapshots", snapshots.TenantSnapshotsApi.as_view()),
    path("tenants/<str:slug>/snapshots/<uuid:snapshot_id>", snapshots.TenantSnapshotApi.as_view()),
    path("tenants/<str:slug>/snapshot", snapshots.TenantSnapshotTakeApi.as_view()),
    path("tenants/<str:slug>/restore", snapshots.TenantRestoreApi.as_view()),
    path("tenants/<str:slug>/usage", usage.TenantUsageApi.as_view()),
    path("tenants/<str:slug>/usage-report", usage.TenantUsageReportApi.as_view()),
    path("tenants/<str:slug>/invoice-preview", usage.TenantInvoicePreviewApi.as_view()),
    path("tenants/<str:slug>/agreement", agreements.TenantAgreementApi.as_view()),
    path("tenants/<str:slug>/rerate", agreements.TenantRerateApi.as_view()),
    path("tenants/<str:slug>/credits", ledger.TenantCreditsApi.as_view()),
    path("tenants/<str:slug>/credits/<uuid:credit_id>", ledger.TenantCreditApi.as_view()),
    path("tenants/<str:slug>/costs", ledger.TenantCostsApi.as_view()),
    path("tenants/<str:slug>/margin", ledger.TenantMarginApi.as_view()),
    path("cost-imports", ledger.CostImportsApi.as_view()),
    path("margin", ledger.FleetMarginApi.as_view()),
    re_path(
        rf"^tenants/(?P<slug>[^/]+)/(?P<verb>{'|'.join(states.VERBS)})$", tenants.TenantVerbApi.as_view()
    ),
    path("operations", operations.OperationsApi.as_view()),
    path("operations/<uuid:operation_id>", operations.OperationApi.as_view()),
    path("operations/<uuid:operation_id>/events", events.operation_events),
    path("operations/<uuid:operation_id>/plan", operations.OperationPlanApi.as_view()),
    path("operations/<uuid:operation_id>/log", operations.OperationLogApi.as_view()),
    re_path(
        rf"^operations/(?P<operation_id>{UUIDConverter.regex})/(?P<verb>{'|'.join(operations.VERBS)})$",
        operations.OperationVerbApi.as_view(),
    ),
    path("tenants/<str:slug>/billing-profile", period_closes.TenantBillingProfileApi.as_view()),
    path("legal-entity", period_closes.LegalEntityApi.as_view()),
    path("invoices", invoices.InvoicesApi.as_view()),
    path("invoices/<uuid:invoice_id>", invoices.InvoiceApi.as_view()),
    re_path(
        rf"^invoices/(?P<invoice_id>{UUIDConverter.regex})\.(?P<suffix>pdf|csv)$",
        invoices.InvoiceFileApi.as_view(),
    ),
    path("invoices/<uuid:invoice_id>/export", invoices.InvoiceExportApi.as_view()),
    path("invoices/<uuid:invoice_id>/lines/<uuid:line_id>/explain", invoices.InvoiceLineExplainApi.as_view()),
    re_path(
        rf"^invoices/(?P<invoice_id>{UUIDConverter.regex})/(?P<verb>{'|'.join(invoices.VERBS)})$",
        invoices.InvoiceVerbApi.as_view(),
    ),
    path("credit-notes", invoices.CreditNotesApi.as_view()),
    path("period-closes", period_closes.PeriodClosesApi.as_view()),
    path("period-closes/<uuid:close_id>", period_closes.PeriodCloseApi.as_view()),
    path("period-closes/<uuid:close_id>/release", period_closes.PeriodCloseReleaseApi.as_view()),
    path("usage/events", usage.UsageEventsApi.as_view()),
    path("usage", usage.FleetUsageApi.as_view()),
    path("usage/corrections", corrections.UsageCorrectionsApi.as_view()),
    path("meters", usage.MetersApi.as_view()),
    path("rate-cards", agreements.RateCardsApi.as_view()),
    path("api-keys", keys.ApiKeysApi.as_view()),
    path("api-keys/<uuid:api_key_id>", keys.ApiKeyApi.as_view()),
    path("audit-events", keys.AuditEventsApi.as_view()),
    path("audit-events/verify", keys.AuditVerifyApi.as_view()),
    # Exempt: an address that is not there is told so, whatever the method; nor is a slash put behind /api/v1.
    re_path(r"^.*$", csrf_exempt(no_append_slash(lambda request: not_found(request, Exception())))),
]
