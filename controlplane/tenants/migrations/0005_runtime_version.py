"""Tenants are pinned to a release of the runtime: those there are, to the one their stack runs."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_BATCH = 500


def pin(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    tenants = apps.get_model("tenants", "Tenant").objects
    running = apps.get_model("operations", "Stack").objects.exclude(program_version="")
    for tenant_id, version in running.values_list("tenant_id", "program_version").iterator(_BATCH):
        tenants.filter(pk=tenant_id, runtime_version="").update(runtime_version=version)


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0004_credentials"),
        ("operations", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="runtime_version",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.RunPython(pin, migrations.RunPython.noop),
    ]
