from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0008_usage_chunks'),
    ]

    operations = [
        migrations.AddField(
            model_name='reportlink',
            name='scope',
            field=models.CharField(choices=[('usage', 'usage'), ('usage_invoices', 'usage_invoices'), ('all', 'all')], db_default='usage', default='usage', max_length=20),
        ),
    ]
