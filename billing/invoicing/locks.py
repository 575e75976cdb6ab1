"""Every row lock of invoicing, in the order it may be taken: a tenant's turn in a close, the tenant's invoices, the
ledger's own locks, a series of numbers, and last the audit head (controlplane.core.locks).

A series is shared by every tenant of a legal entity, so it is taken late and held briefly.
"""

from uuid import UUID

from django.db import connection

from billing.invoicing.models import Invoice, InvoiceSeries, LegalEntity, TenantClose


def tenant_close_lock(*, tenant_close_id: UUID) -> TenantClose:
    return TenantClose.objects.select_for_update().get(pk=tenant_close_id)


def tenant_invoices_lock(*, tenant_id: UUID) -> None:
    """Whatever drafts, issues or settles a tenant's invoices waits here until the transaction ends. A lock on rows
    would not hold up whoever makes the first one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"invoices {tenant_id}"])


def invoice_lock(*, invoice_id: UUID) -> Invoice:
    return Invoice.objects.select_for_update().get(pk=invoice_id)


def series_lock(*, legal_entity: LegalEntity, kind: str, prefix: str) -> InvoiceSeries:
    InvoiceSeries.objects.get_or_create(legal_entity=legal_entity, kind=kind, prefix=prefix)
    return InvoiceSeries.objects.select_for_update().get(legal_entity=legal_entity, kind=kind, prefix=prefix)
