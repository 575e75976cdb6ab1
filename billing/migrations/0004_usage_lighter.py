"""Lighter ingest, corrections and meters of more kinds. Only adds what may be empty, and drops an index nothing reads."""

import controlplane.core.ids
from django.db import migrations, models

BATCH = 20_000

FILL = """
UPDATE billing_usageeventkey k SET time = e.time
FROM (
    SELECT tenant_id, source, event_id, received_at FROM billing_usageeventkey WHERE time IS NULL LIMIT %s
) AS todo
JOIN billing_usageevent e USING (tenant_id, source, event_id, received_at)
WHERE k.tenant_id = todo.tenant_id AND k.source = todo.source AND k.event_id = todo.event_id
"""

# Each event has its one row in the table of keys; the raw event is found by that row's time.
DROP_KEY = 'ALTER TABLE billing_usageevent DROP CONSTRAINT billing_usageevent_pkey'
ADD_KEY = 'ALTER TABLE billing_usageevent ADD PRIMARY KEY (tenant_id, source, event_id, received_at)'
# Rollup rows are updated again and again: room in the page keeps their index as it is.
FILL_FACTOR = 'ALTER TABLE billing_usagerollup SET (fillfactor = 80)'


def keys_fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(FILL, [BATCH])
            if cursor.rowcount < 1:
                return


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('billing', '0003_agreements'),
    ]

    operations = [
        migrations.AddField(
            model_name='usageeventkey', name='time', field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='gaugesample', name='received_at', field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='gaugesample', name='voided_at', field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='resourcespan', name='opened_recorded_at', field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='resourcespan', name='closed_recorded_at', field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name='UsageMember',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'meter', 'bucket', 'dimensions', 'member', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('meter', models.TextField()),
                ('bucket', models.DateTimeField()),
                ('dimensions', models.TextField()),
                ('member', models.TextField()),
                ('events', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='UsageCorrection',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('source', models.TextField()),
                ('event_id', models.TextField()),
                ('revision', models.IntegerField()),
                ('action', models.TextField(choices=[('void', 'void'), ('amend', 'amend')])),
                ('type', models.TextField()),
                ('time', models.DateTimeField(null=True)),
                ('replaced_time', models.DateTimeField()),
                ('body', models.JSONField(null=True)),
                ('received_at', models.DateTimeField()),
                ('reason', models.TextField()),
                ('actor', models.TextField()),
                ('recorded_at', models.DateTimeField()),
            ],
            options={
                'indexes': [
                    models.Index(fields=['tenant_id', 'time'], name='usage_correction_time'),
                    models.Index(fields=['tenant_id', 'recorded_at'], name='usage_correction_recorded'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('tenant_id', 'source', 'event_id', 'revision'), name='usage_correction_once'),
                ],
            },
        ),
        migrations.RunPython(keys_fill, migrations.RunPython.noop),
        migrations.RunSQL(DROP_KEY, reverse_sql=ADD_KEY),
        migrations.RunSQL(FILL_FACTOR, reverse_sql='ALTER TABLE billing_usagerollup RESET (fillfactor)'),
    ]
