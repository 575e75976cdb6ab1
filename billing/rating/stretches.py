"""What rating is given: the period cut into stretches, each with its terms and what was used in it. Pure data."""

from dataclasses import dataclass
from datetime import datetime

from billing.metering.totals import MeterTotal
from billing.rating.cards import RateCard


@dataclass(frozen=True)
class Stretch:
    """[start, end) under one card, a contract's overrides applied to it already.

    `trial`: everything in it is free but one-off fees. `opens`: the tenant comes to this card at `start`, so
    one-off fees are due. `start` = `end`: no agreement runs, only what was used is charged.
    """

    start: datetime
    end: datetime
    card: RateCard
    usage: tuple[MeterTotal, ...] = ()
    trial: bool = False
    opens: bool = False
