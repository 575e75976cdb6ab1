"""What a tenant owes for a period. Invoices, previews, reports, budgets and accruals ask here. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.agreements.phases import CardVersion, Phase, PhaseTerms
from billing.agreements.selectors import card_versions, phases_of
from billing.charges.cuts import Cut, cuts_of, windows_of_cuts
from billing.charges.usage import usage_asks, usage_told
from billing.customer import Customer
from billing.metering.measure import measure_asks
from billing.metering.tally import Ask, Measured
from billing.metering.windows import Window
from billing.period import Period
from billing.rating.cards import RateCard
from billing.rating.rate import RatedLines, Stretch, rate_stretches
from controlplane.core.errors import OperatorError


@dataclass(frozen=True)
class Terms:
    """What a tenant agreed to, whatever the period."""

    customer: Customer
    phases: Sequence[Phase]
    published: Mapping[str, Sequence[CardVersion]]
    fallback: RateCard | None

    def cuts(self, period: Period) -> list[Cut]:
        """The period cut where the terms change, each with the card in force. Raises OperatorError without one."""
        return cuts_of(self.phases, self._versions, period)

    def _versions(self, key: str) -> Sequence[CardVersion]:
        if key in self.published:
            return self.published[key]
        if self.fallback is None:
            raise OperatorError(
                f"No rate card {key} is published, and {self.customer.slug} has agreed to it.",
                hint="Run the management command database_prepare.",
            )
        return [CardVersion(self.fallback, self.customer.created_at)]


@dataclass(frozen=True)
class Bill:
    """A period's charges before they are measured, for those who measure more along with them: `asks` say what to
    measure, `rated` what it costs."""

    period: Period
    cuts: Sequence[Cut]
    further: Sequence[RateCard] = ()
    windows: Sequence[Window] = field(init=False)
    asks: Sequence[Ask] = field(init=False)

    def __post_init__(self) -> None:
        windows = tuple(Window(start, end) for start, end in windows_of_cuts(self.cuts, self.period))
        cards = [*(cut.card for cut in self.cuts), *self.further]
        object.__setattr__(self, "windows", windows)
        object.__setattr__(self, "asks", usage_asks(windows=windows, cards=cards))

    def stretches(self, found: Sequence[Measured]) -> list[Stretch]:
        """The cuts with what was used in each; `found` are the answers to the asks."""
        used = usage_told(self.asks, found, self.windows)
        return [
            Stretch(cut.start, cut.end, cut.card, usage, trial=cut.trial, opens=cut.opens)
            for cut, usage in zip(self.cuts, used, strict=True)
        ]

    def rated(self, found: Sequence[Measured], as_of: datetime) -> RatedLines:
        """What was measured at `as_of` costs."""
        return rate_stretches(self.stretches(found), self.period, as_of)


def charges_of(
    *,
    customer: Customer,
    period: Period,
    as_of: datetime,
    known_at: datetime | None = None,
    fallback: RateCard | None = None,
) -> RatedLines:
    """The period's charges with what had been used at `as_of`; `known_at`: as they were known then.

    `fallback` is the plan's card, for a tenant without an agreement, or whose card is not published. Raises
    OperatorError where there is neither.
    """
    cuts = terms_of(customer=customer, known_at=known_at, fallback=fallback).cuts(period)
    stretches = stretches_of(customer=customer, period=period, cuts=cuts, as_of=as_of, known_at=known_at)
    return rate_stretches(stretches, period, as_of)


def terms_of(*, customer: Customer, known_at: datetime | None, fallback: RateCard | None) -> Terms:
    """Raises OperatorError where there is neither an agreement nor `fallback`."""
    phases = phases_of(tenant_id=customer.id, known_at=known_at)
    keys = {phase.terms.card_key for phase in phases}
    published = card_versions(keys=keys, known_at=known_at) if keys else {}
    if not phases:
        if fallback is None:
            raise OperatorError(
                f"{customer.slug} has no agreement and no rate card.",
                hint="Give its plan a rate card in plans.toml.",
            )
        phases = [Phase(customer.created_at, None, PhaseTerms(fallback.key, fallback.key))]
    return Terms(customer, phases, published, fallback)


def stretches_of(
    *,
    customer: Customer,
    period: Period,
    cuts: Sequence[Cut],
    as_of: datetime,
    known_at: datetime | None,
    further: Sequence[RateCard] = (),
) -> list[Stretch]:
    """The cuts with what was used in each, of the meters that their cards or `further` ones price."""
    bill = Bill(period, cuts, further)
    return bill.stretches(measure_asks(tenant_id=customer.id, asks=bill.asks, as_of=as_of, known_at=known_at))
