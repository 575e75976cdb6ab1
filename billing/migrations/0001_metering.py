"""Metering's tables. Django cannot partition a table nor exclude overlapping ranges without btree_gist: SQL does."""

import controlplane.core.ids
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

RAW_EVENTS = """
CREATE TABLE billing_usageevent (
    tenant_id uuid NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    received_at timestamptz NOT NULL,
    type text NOT NULL,
    time timestamptz NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (tenant_id, source, event_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX usage_event_time ON billing_usageevent (tenant_id, time);
"""

# A single number as the range that holds only it: GiST knows && of ranges without an extension.
NO_OVERLAP = """
ALTER TABLE billing_resourcespan ADD CONSTRAINT resource_span_no_overlap
    EXCLUDE USING gist (int8range(span_slot_id, span_slot_id, '[]') WITH &&, span WITH &&);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='UsageEventKey',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'source', 'event_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('source', models.TextField()),
                ('event_id', models.TextField()),
                ('body_hash', models.BinaryField()),
                ('received_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='GaugeSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tenant_id', models.UUIDField()),
                ('meter', models.TextField()),
                ('component', models.TextField()),
                ('time', models.DateTimeField()),
                ('source', models.TextField()),
                ('event_id', models.TextField()),
                ('value', models.DecimalField(decimal_places=12, max_digits=50)),
            ],
            options={
                'indexes': [models.Index(fields=['tenant_id', 'meter', 'component', 'time'], name='gauge_sample_time')],
            },
        ),
        migrations.CreateModel(
            name='SpanSlot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tenant_id', models.UUIDField()),
                ('meter', models.TextField()),
                ('slot', models.IntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'meter', 'slot'), name='span_slot_once')],
            },
        ),
        migrations.CreateModel(
            name='ResourceSpan',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('resource', models.TextField()),
                ('dimensions', models.JSONField(default=dict)),
                ('span', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('opened_by', models.UUIDField()),
                ('closed_by', models.UUIDField(null=True)),
                ('span_slot', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='spans', to='billing.spanslot')),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(RAW_EVENTS, reverse_sql='DROP TABLE billing_usageevent')],
            state_operations=[
                migrations.CreateModel(
                    name='UsageEvent',
                    fields=[
                        ('pk', models.CompositePrimaryKey('tenant_id', 'source', 'event_id', 'received_at', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('tenant_id', models.UUIDField()),
                        ('source', models.TextField()),
                        ('event_id', models.TextField()),
                        ('received_at', models.DateTimeField()),
                        ('type', models.TextField()),
                        ('time', models.DateTimeField()),
                        ('body', models.JSONField()),
                    ],
                    options={
                        'indexes': [models.Index(fields=['tenant_id', 'time'], name='usage_event_time')],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='UsageRollup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tenant_id', models.UUIDField()),
                ('meter', models.TextField()),
                ('bucket', models.DateTimeField()),
                ('dimensions', models.JSONField()),
                ('value', models.DecimalField(decimal_places=12, max_digits=50)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'meter', 'bucket', 'dimensions'), name='usage_rollup_once')],
            },
        ),
        migrations.RunSQL(
            NO_OVERLAP, reverse_sql='ALTER TABLE billing_resourcespan DROP CONSTRAINT resource_span_no_overlap'
        ),
    ]
