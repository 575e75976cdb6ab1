from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from controlplane.core.clock import now
from controlplane.core.errors import OperatorError
from controlplane.tenants.pricing import catalogue_publish


class Command(BaseCommand):
    help = (
        "Migrates the database, then publishes the rate cards of plans.toml. Doing it again changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        try:
            published = catalogue_publish(actor="database_prepare", now=now())
        except OperatorError as error:
            raise CommandError(f"{error.detail} {error.hint}") from error
        for name in published:
            self.stdout.write(f"published the rate card {name}")
