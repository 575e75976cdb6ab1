"""The ledger's tables, and what the database itself refuses: transactions that do not sum to zero, and any change
of what was posted."""

import controlplane.core.ids
import django.db.models.deletion
from django.db import migrations, models


# Checked at COMMIT, so that the entries of a transaction may be written one after another. The count keeps entries
# from being added to a transaction that was posted before.
BALANCED = """
CREATE FUNCTION billing_journal_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted uuid;
    wanted integer;
    found integer;
    total numeric;
BEGIN
    IF TG_TABLE_NAME = 'billing_journaltransaction' THEN
        posted := NEW.id;
    ELSE
        posted := NEW.transaction_id;
    END IF;
    SELECT t.size, count(e.id), coalesce(sum(e.amount), 0) INTO wanted, found, total
    FROM billing_journaltransaction t LEFT JOIN billing_journalentry e ON e.transaction_id = t.id
    WHERE t.id = posted GROUP BY t.size;
    IF total <> 0 THEN
        RAISE EXCEPTION 'journal transaction % sums to %, not to zero', posted, total
            USING ERRCODE = 'check_violation';
    END IF;
    IF found <> wanted THEN
        RAISE EXCEPTION 'journal transaction % has % entries, not %', posted, found, wanted
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER journal_entry_balanced AFTER INSERT ON billing_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_journal_balanced();
CREATE CONSTRAINT TRIGGER journal_transaction_balanced AFTER INSERT ON billing_journaltransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_journal_balanced();
"""

IMMUTABLE = """
CREATE FUNCTION billing_journal_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is never changed: % of % was refused; post a reversing transaction',
        lower(TG_OP), TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER journal_entry_immutable BEFORE UPDATE OR DELETE ON billing_journalentry
    FOR EACH ROW EXECUTE FUNCTION billing_journal_immutable();
CREATE TRIGGER journal_entry_kept BEFORE TRUNCATE ON billing_journalentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_journal_immutable();
CREATE TRIGGER journal_transaction_immutable BEFORE UPDATE OR DELETE ON billing_journaltransaction
    FOR EACH ROW EXECUTE FUNCTION billing_journal_immutable();
CREATE TRIGGER journal_transaction_kept BEFORE TRUNCATE ON billing_journaltransaction
    FOR EACH STATEMENT EXECUTE FUNCTION billing_journal_immutable();
"""
REVERSE = """
DROP TRIGGER journal_entry_balanced ON billing_journalentry;
DROP TRIGGER journal_transaction_balanced ON billing_journaltransaction;
DROP TRIGGER journal_entry_immutable ON billing_journalentry;
DROP TRIGGER journal_entry_kept ON billing_journalentry;
DROP TRIGGER journal_transaction_immutable ON billing_journaltransaction;
DROP TRIGGER journal_transaction_kept ON billing_journaltransaction;
DROP FUNCTION billing_journal_balanced();
DROP FUNCTION billing_journal_immutable();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_metering'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerBook',
            fields=[
                ('tenant_id', models.UUIDField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name='CreditGrant',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('name', models.CharField(max_length=200)),
                ('source', models.CharField(choices=[('purchase', 'purchase'), ('promotion', 'promotion')], max_length=16)),
                ('currency', models.CharField(max_length=3)),
                ('amount', models.DecimalField(decimal_places=4, max_digits=20)),
                ('priority', models.PositiveSmallIntegerField(default=50)),
                ('effective_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('voided_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['tenant_id', '-created_at'], name='credit_grant_of_tenant'), models.Index(condition=models.Q(('voided_at__isnull', True)), fields=['expires_at'], name='credit_grant_expiring')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='credit_grant_of_something'), models.CheckConstraint(condition=models.Q(('expires_at__isnull', True), ('expires_at__gt', models.F('effective_at')), _connector='OR'), name='credit_grant_expires_later')],
            },
        ),
        migrations.CreateModel(
            name='JournalTransaction',
            fields=[
                ('id', models.UUIDField(default=controlplane.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key', models.TextField(unique=True)),
                ('kind', models.TextField()),
                ('at', models.DateTimeField()),
                ('tenant_id', models.UUIDField()),
                ('currency', models.CharField(max_length=3)),
                ('service_start', models.DateTimeField()),
                ('service_end', models.DateTimeField()),
                ('size', models.PositiveSmallIntegerField()),
                ('about', models.TextField()),
                ('data', models.JSONField(default=dict)),
                ('reverses', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='billing.journaltransaction')),
            ],
        ),
        migrations.CreateModel(
            name='JournalEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('account', models.TextField()),
                ('amount', models.DecimalField(decimal_places=12, max_digits=38)),
                ('subject', models.UUIDField(null=True)),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='billing.journaltransaction')),
            ],
        ),
        migrations.AddIndex(
            model_name='journaltransaction',
            index=models.Index(fields=['tenant_id', 'service_start'], name='journal_by_service'),
        ),
        migrations.AddIndex(
            model_name='journaltransaction',
            index=models.Index(fields=['tenant_id', 'at'], name='journal_by_time'),
        ),
        migrations.AddIndex(
            model_name='journalentry',
            index=models.Index(condition=models.Q(('subject__isnull', False)), fields=['subject', 'account'], name='journal_entry_subject'),
        ),
        migrations.AddConstraint(
            model_name='journalentry',
            constraint=models.UniqueConstraint(fields=('transaction', 'position'), name='journal_entry_once'),
        ),
        migrations.AddConstraint(
            model_name='journalentry',
            constraint=models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='journal_entry_moves_something'),
        ),
        migrations.RunSQL(BALANCED + IMMUTABLE, reverse_sql=REVERSE),
    ]
