"""Pages of the portal."""

from django.urls import URLPattern, path

from controlplane.portal import (
    audit,
    invoices,
    keys,
    money,
    onboarding,
    operations,
    overview,
    settings_tab,
    shared,
    snapshots_tab,
    tenants,
)

app_name = "portal"
urlpatterns: list[URLPattern] = [
    path("", overview.overview, name="home"),
    path("tenants/", tenants.tenants, name="tenants"),
    path("tenants/new/", onboarding.tenant_new, name="tenant-new"),
    path("tenants/<str:slug>/", tenants.tenant, name="tenant"),
    path("tenants/<str:slug>/resources/", tenants.tenant_resources, name="tenant-resources"),
    path("tenants/<str:slug>/operations/", tenants.tenant_operations, name="tenant-operations"),
    path("tenants/<str:slug>/usage/", money.tenant_usage, name="tenant-usage"),
    path("tenants/<str:slug>/billing/", money.tenant_billing, name="tenant-billing"),
    path("tenants/<str:slug>/snapshots/", snapshots_tab.tenant_snapshots, name="tenant-snapshots"),
    path("tenants/<str:slug>/snapshots/take/", snapshots_tab.snapshot_take, name="tenant-snapshot-take"),
    path(
        "tenants/<str:slug>/snapshots/<uuid:snapshot_id>/restore/",
        snapshots_tab.snapshot_restore,
        name="tenant-snapshot-restore",
    ),
    path(
        "tenants/<str:slug>/snapshots/<uuid:snapshot_id>/delete/",
        snapshots_tab.snapshot_remove,
        name="tenant-snapshot-delete",
    ),
    path("tenants/<str:slug>/settings/", settings_tab.tenant_settings, name="tenant-settings"),
    path("tenants/<str:slug>/protection/", settings_tab.tenant_protection, name="tenant-protection"),
    path("tenants/<str:slug>/credentials/", settings_tab.tenant_credentials, name="tenant-credentials"),
    path("tenants/<str:slug>/delete/", settings_tab.tenant_remove, name="tenant-delete"),
    path("tenants/<str:slug>/operate/<str:verb>/", settings_tab.tenant_operation_new, name="tenant-operate"),
    path("operations/", operations.operations, name="operations"),
    path("operations/<uuid:operation_id>/", operations.operation, name="operation"),
    path("operations/<uuid:operation_id>/live/", operations.operation_live, name="operation-live"),
    path("operations/<uuid:operation_id>/<str:verb>/", operations.operation_verb, name="operation-verb"),
    path("tenants/<str:slug>/billing/draft/", invoices.invoice_draft, name="invoice-draft"),
    path("invoices/", invoices.invoices, name="invoices"),
    path("invoices/<uuid:invoice_id>/", invoices.invoice, name="invoice"),
    path("invoices/<uuid:invoice_id>/lines/<uuid:line_id>/", invoices.invoice_line, name="invoice-line"),
    path("invoices/<uuid:invoice_id>/<str:verb>/", invoices.invoice_verb, name="invoice-verb"),
    path("shared/usage/<str:token>/", shared.shared_usage, name="shared-usage"),
    path("shared/usage/<str:token>/usage.<str:form>", shared.shared_usage_file, name="shared-usage-file"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export.csv", audit.audit_export, name="audit-export"),
    path("audit/verify/", audit.audit_check, name="audit-check"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<uuid:key_id>/rotate/", keys.key_rotate, name="key-rotate"),
    path("keys/<uuid:key_id>/revoke/", keys.key_revoke, name="key-revoke"),
]
