from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0003_outbox'),
    ]

    operations = [
        migrations.AddField(
            model_name='outboundmessage',
            name='sealed_text',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
    ]
