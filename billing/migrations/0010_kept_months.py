"""Balances by month, kept by the database as entries are written: reads of many books need not add up the journal.

What was posted before is added once. The lock keeps entries out meanwhile, so that none is missed or added twice.
"""

from django.db import migrations, models

# In one order everywhere, so that two writers cannot wait for each other.
ADD = """
INSERT INTO billing_monthbalance AS kept (month, tenant_id, currency, account, amount, priced, priced_gpu)
SELECT date_trunc('month', t.service_start, 'UTC') AS month, t.tenant_id, t.currency, e.account, sum(e.amount),
       coalesce(sum(e.amount) FILTER (WHERE estimated), 0),
       coalesce(sum((t.data ->> 'gpu')::numeric) FILTER (WHERE estimated), 0)
FROM {entries} e JOIN billing_journaltransaction t ON t.id = e.transaction_id,
     LATERAL (SELECT t.kind = 'cost_estimate' AND e.account = 'cost_infrastructure_estimated' AS estimated) AS s
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (month, tenant_id, currency, account) DO UPDATE
SET amount = kept.amount + EXCLUDED.amount, priced = kept.priced + EXCLUDED.priced,
    priced_gpu = kept.priced_gpu + EXCLUDED.priced_gpu;
"""
KEEP = f"""
CREATE FUNCTION billing_month_balance_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {ADD.format(entries="fresh")}
    RETURN NULL;
END
$$;
LOCK TABLE billing_journalentry IN SHARE ROW EXCLUSIVE MODE;
{ADD.format(entries="billing_journalentry")}
CREATE TRIGGER journal_entry_month_balance AFTER INSERT ON billing_journalentry
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION billing_month_balance_keep();
"""
REVERSE = """
DROP TRIGGER journal_entry_month_balance ON billing_journalentry;
DROP FUNCTION billing_month_balance_keep();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0009_report_link_scope'),
    ]

    operations = [
        migrations.CreateModel(
            name='MonthBalance',
            fields=[
                ('pk', models.CompositePrimaryKey('month', 'tenant_id', 'currency', 'account', blank=True, editable=False, primary_key=True, serialize=False)),
                ('month', models.DateTimeField()),
                ('tenant_id', models.UUIDField()),
                ('currency', models.CharField(max_length=3)),
                ('account', models.TextField()),
                ('amount', models.DecimalField(decimal_places=12, max_digits=38)),
                ('priced', models.DecimalField(decimal_places=12, max_digits=38)),
                ('priced_gpu', models.DecimalField(decimal_places=12, max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name='MonthGpu',
            fields=[
                ('pk', models.CompositePrimaryKey('month', 'tenant_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('month', models.DateTimeField()),
                ('tenant_id', models.UUIDField()),
                ('paid', models.DecimalField(decimal_places=12, max_digits=50)),
                ('busy', models.DecimalField(decimal_places=12, max_digits=50)),
                ('as_of', models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(KEEP, reverse_sql=REVERSE),
    ]
