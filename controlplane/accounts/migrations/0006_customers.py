from django.db import migrations, models

ROLES = [('owner', 'owner'), ('admin', 'admin'), ('operator', 'operator'), ('finance', 'finance'), ('viewer', 'viewer'), ('customer', 'customer')]


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_saved_views'),
    ]

    operations = [
        migrations.AlterField(model_name=name, name='role', field=models.CharField(choices=ROLES, max_length=20))
        for name in ('invitation', 'membership')
    ]
