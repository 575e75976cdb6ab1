import json
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.costs.imports import MODES, REPLACE, cost_feed_import
from billing.costs.selectors import cost_import_representation
from controlplane.core.clock import now
from controlplane.core.errors import FreeholdError


class Command(BaseCommand):
    help = "Imports a provider's bill (CUR or FOCUS, CSV or gzip) of any size for a team's fleet, as the API does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("team", type=UUID, help="the team's id")
        parser.add_argument("path", type=Path)
        parser.add_argument("--feed", default="aws", help="whose bill it is (default aws)")
        parser.add_argument("--mode", choices=MODES, default=REPLACE)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["path"].open("rb") as stream:
                outcome = cost_feed_import(
                    pool_id=options["team"],
                    stream=stream,
                    feed=options["feed"],
                    mode=options["mode"],
                    dry_run=options["dry_run"],
                    actor="operator",
                    now=now(),
                )
        except OSError as error:
            raise CommandError(f"{options['path']} cannot be read: {error.strerror}") from error
        except FreeholdError as error:
            wrong = "\n".join(f"{each['pointer']}: {each['detail']}" for each in error.errors)
            raise CommandError(f"{error.detail}\n{wrong}") from error
        shown = {**cost_import_representation(outcome.cost_import), "fresh": outcome.fresh}
        self.stdout.write(json.dumps(shown, indent=2))
