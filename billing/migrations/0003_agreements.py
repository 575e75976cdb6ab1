"""Agreements and published rate cards. SQL adds the exclusion (over time and over what was known when, without
btree_gist) and the trigger that keeps published cards as they are."""

import controlplane.core.ids
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

NO_OVERLAP = """
ALTER TABLE billing_agreementphase ADD CONSTRAINT agreement_phase_no_overlap
    EXCLUDE USING gist (
        int8range(agreement_id, agreement_id, '[]') WITH &&, span WITH &&, known WITH &&
    );
"""

IMMUTABLE = """
CREATE FUNCTION billing_rate_card_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rate card % v% is published and never changes', OLD.key, OLD.version
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER rate_card_immutable BEFORE UPDATE OR DELETE ON billing_ratecardversion
    FOR EACH ROW EXECUTE FUNCTION billing_rate_card_immutable();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0002_ledger'),
    ]

    operations = [
        migrations.CreateModel(
            name='Agreement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tenant_id', models.UUIDField(unique=True)),
                ('currency', models.CharField(max_length=3)),
                ('starts_at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='RateCardVersion',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=80)),
                ('version', models.PositiveIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('effective_from', models.DateTimeField()),
                ('body', models.JSONField()),
                ('sha256', models.CharField(max_length=64)),
                ('recorded_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('key', 'version'), name='rate_card_version_once')],
            },
        ),
        migrations.CreateModel(
            name='AgreementPhase',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('span', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('known', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('plan', models.CharField(max_length=80)),
                ('card_key', models.CharField(max_length=80)),
                ('card_version', models.PositiveIntegerField(null=True)),
                ('overrides', models.JSONField(default=dict)),
                ('trial_until', models.DateTimeField(null=True)),
                ('recorded_by', models.CharField(max_length=200)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('agreement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='phases', to='billing.agreement')),
            ],
        ),
        migrations.RunSQL(
            NO_OVERLAP, reverse_sql='ALTER TABLE billing_agreementphase DROP CONSTRAINT agreement_phase_no_overlap'
        ),
        migrations.RunSQL(
            IMMUTABLE,
            reverse_sql='DROP TRIGGER rate_card_immutable ON billing_ratecardversion;'
            ' DROP FUNCTION billing_rate_card_immutable()',
        ),
    ]
