import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.core.clock import now
from controlplane.core.data_keys import data_key_rotate, data_keys_rewrap
from controlplane.core.renewal import batches, data_keys_retire, encryption_report
from controlplane.tenants import states
from controlplane.tenants.models import Tenant

ACTOR = "operator"


class Command(BaseCommand):
    help = (
        "Keys of stored secrets. `report` says what still needs which key; `renew` seals everything by the newest "
        "operator key and the newest data keys; `rotate` gives tenants new data keys first. May be killed and "
        "called again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=("report", "renew", "rotate"))
        parser.add_argument("--tenant", action="append", default=[], help="slug, for rotate; may be repeated")
        parser.add_argument(
            "--all", action="store_true", help="rotate: every tenant that is not deprovisioned"
        )
        parser.add_argument("--batch", type=int, default=200, help="rows in one batch (default 200)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "rotate":
            self._rotate(options["tenant"], everyone=options["all"])
        if options["verb"] != "report":
            self._renew(options["batch"])
        self.stdout.write(json.dumps(encryption_report(), indent=2))

    def _rotate(self, slugs: list[str], *, everyone: bool) -> None:
        living = Tenant.objects.exclude(lifecycle=states.DEPROVISIONED)
        tenants = list(living if everyone else living.filter(slug__in=slugs))
        unknown = set(slugs) - {tenant.slug for tenant in tenants}
        if unknown or not (slugs or everyone):
            raise CommandError(
                f"no such tenant: {', '.join(sorted(unknown))}" if unknown else "name --tenant SLUG or --all"
            )
        for tenant in tenants:
            key = data_key_rotate(owner=tenant.id, actor=ACTOR, now=now())
            self.stderr.write(f"{tenant.slug}: data key version {key.version}")

    def _renew(self, limit: int) -> None:
        rewrapped = values = 0
        while done := data_keys_rewrap(limit=limit):
            rewrapped += done
            self.stderr.write(f"{rewrapped} data keys sealed by the newest operator key")
        for batch in batches(limit=limit):
            values += batch.done
            self.stderr.write(f"{values} values sealed by the newest data keys")
        self.stderr.write(f"{data_keys_retire(now=now())} old data keys destroyed")
