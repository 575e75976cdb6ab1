"""`manage.py period_close 2026-10`: closes a month for every team, or goes on with it, in this process."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.directory import directory
from billing.invoicing.close import period_close, period_close_begin
from billing.invoicing.selectors import close_find
from billing.invoicing.shape import close_shape
from billing.period import period_parse
from controlplane.core import clock


class Command(BaseCommand):
    help = "Closes a month: every tenant's invoice, exactly once. Safe to run again after it was killed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("period", help="YYYY-MM")
        parser.add_argument("--without-grace", action="store_true", help="do not wait for late events")

    def handle(self, *args: Any, **options: Any) -> None:
        period = period_parse(options["period"])
        grace = timedelta(0) if options["without_grace"] else None
        teams = sorted(
            {customer.team_id for customer in directory().customers() if customer.lived_in(period)}
        )
        for team_id in teams:
            at = clock.now()
            close = period_close_begin(team_id=team_id, period=period, at=at, actor="command", grace=grace)
            period_close(close_id=close.pk, at=at, actor="command")
            shown = close_shape(close_find(team_id=team_id, close_id=close.pk))
            counted = ", ".join(f"{count} {state}" for state, count in shown["progress"].items() if count)
            self.stdout.write(f"{shown['period']} of team {team_id}: {shown['state']} ({counted})")
