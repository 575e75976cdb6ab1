from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.metering.partitions import partitions_ensure
from controlplane.core.clock import now


class Command(BaseCommand):
    help = "Makes the partitions of raw usage events for this month and the next ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ahead", type=int, default=2, help="months after the current one (default 2)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in partitions_ensure(at=now(), ahead=options["ahead"]):
            self.stdout.write(name)
