"""Every tenant gets the agreement that its plan amounted to so far, from its creation on."""

from datetime import UTC, datetime

from django.db import migrations
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

CHUNK = 500


def open_agreements(apps, schema_editor):
    tenants = apps.get_model('tenants', 'Tenant')
    agreements = apps.get_model('billing', 'Agreement')
    phases = apps.get_model('billing', 'AgreementPhase')
    now = datetime.now(UTC)
    having = set(agreements.objects.values_list('tenant_id', flat=True))
    batch = []
    for tenant in tenants.objects.order_by('pk').iterator(chunk_size=CHUNK):
        if tenant.pk in having:
            continue
        batch.append(tenant)
        if len(batch) == CHUNK:
            _open(agreements, phases, batch, now)
            batch = []
    _open(agreements, phases, batch, now)


def _open(agreements, phases, tenants, now):
    made = agreements.objects.bulk_create(
        # The catalogue had prices in USD only until now.
        agreements(tenant_id=tenant.pk, currency='USD', starts_at=tenant.created_at, recorded_at=now)
        for tenant in tenants
    )
    phases.objects.bulk_create(
        phases(
            agreement=agreement,
            span=DateTimeTZRange(tenant.created_at, tenant.deprovisioned_at),
            known=DateTimeTZRange(now, None),
            plan=tenant.plan,
            card_key=tenant.plan,
            recorded_by='migration',
        )
        for tenant, agreement in zip(tenants, made, strict=True)
        if tenant.deprovisioned_at is None or tenant.deprovisioned_at > tenant.created_at
    )


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0007_tenant_networks'),
        ('billing', '0003_agreements'),
    ]

    operations = [
        migrations.RunPython(open_agreements, migrations.RunPython.noop),
    ]
