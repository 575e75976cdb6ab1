"""Raw events move into compressed chunks. All in one transaction: no event is in neither table, or in both."""

import json

import zstandard
from django.db import migrations, models

CHUNKS = """
CREATE TABLE billing_usageeventchunk (
    tenant_id uuid NOT NULL,
    type text NOT NULL,
    hour timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    events integer NOT NULL CHECK (events > 0),
    body bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX usage_chunk_hour ON billing_usageeventchunk (tenant_id, type, hour);
-- It is compressed already: Postgres need not try.
ALTER TABLE billing_usageeventchunk ALTER COLUMN body SET STORAGE EXTERNAL;
"""

# The same months as the raw events have.
PARTITIONS = """
DO $$
DECLARE part record;
BEGIN
    FOR part IN
        SELECT replace(c.relname, 'billing_usageevent', 'billing_usageeventchunk') AS name,
               pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'billing_usageevent'::regclass
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF billing_usageeventchunk %s', part.name, part.bounds);
    END LOOP;
END $$
"""

READ = """
SELECT tenant_id, type, date_trunc('hour', time, 'UTC'), received_at, body::text
FROM billing_usageevent ORDER BY 1, 2, 3, 4
"""
WRITE = """
INSERT INTO billing_usageeventchunk (tenant_id, type, hour, received_at, events, body)
VALUES (%s, %s, %s, %s, %s, %s)
"""


def pack(apps, schema_editor):
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute('DECLARE usage_events NO SCROLL CURSOR FOR' + READ)
        key, bodies = None, []

        def write():
            if bodies:
                packed = zstandard.ZstdCompressor(level=1).compress(('[' + ','.join(bodies) + ']').encode())
                with connection.cursor() as writing:
                    writing.execute(WRITE, [*key, len(bodies), packed])
            bodies.clear()

        while True:
            cursor.execute('FETCH 5000 FROM usage_events')
            rows = cursor.fetchall()
            for *found, body in rows:
                if found != key:
                    write()
                    key = found
                bodies.append(json.dumps(json.loads(body, parse_float=str), sort_keys=True,
                                         separators=(',', ':'), ensure_ascii=False))
            if not rows:
                write()
                cursor.execute('CLOSE usage_events')
                return


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0007_budgets_standing_reports'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(CHUNKS),
                migrations.RunSQL(PARTITIONS),
                migrations.RunPython(pack),
                migrations.RunSQL('DROP TABLE billing_usageevent'),
            ],
            state_operations=[
                migrations.DeleteModel('UsageEvent'),
                migrations.CreateModel(
                    name='UsageEventChunk',
                    fields=[
                        ('pk', models.CompositePrimaryKey('tenant_id', 'type', 'hour', 'received_at', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('tenant_id', models.UUIDField()),
                        ('type', models.TextField()),
                        ('hour', models.DateTimeField()),
                        ('received_at', models.DateTimeField()),
                        ('events', models.IntegerField()),
                        ('body', models.BinaryField()),
                    ],
                    options={
                        'indexes': [models.Index(fields=['tenant_id', 'type', 'hour'], name='usage_chunk_hour')],
                    },
                ),
            ],
        ),
        migrations.AlterField(model_name='usageeventkey', name='time', field=models.DateTimeField()),
    ]
