"""What a tenant owes for a period. Invoices, previews, reports, budgets and accruals ask here. Reads only."""

from collections.abc import Sequence
from datetime import datetime

from billing.agreements.phases import CardVersion, Phase, PhaseTerms
from billing.agreements.selectors import card_versions, phases_of
from billing.charges.cuts import Cut, cuts_of, windows_of_cuts
from billing.charges.usage import usage_in
from billing.customer import Customer
from billing.metering.windows import Window
from billing.period import Period
from billing.rating.cards import RateCard
from billing.rating.rate import RatedLines, Stretch, rate_stretches
from controlplane.core.errors import OperatorError


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
    cuts = terms_of(customer=customer, period=period, known_at=known_at, fallback=fallback)
    stretches = stretches_of(customer=customer, period=period, cuts=cuts, as_of=as_of, known_at=known_at)
    return rate_stretches(stretches, period, as_of)


def terms_of(
    *, customer: Customer, period: Period, known_at: datetime | None, fallback: RateCard | None
) -> list[Cut]:
    """The period cut where the tenant's terms change, each with the card in force."""
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

    def versions(key: str) -> Sequence[CardVersion]:
        if key in published:
            return published[key]
        if fallback is None:
            raise OperatorError(
                f"No rate card {key} is published, and {customer.slug} has agreed to it.",
                hint="Run the management command database_prepare.",
            )
        return [CardVersion(fallback, customer.created_at)]

    return cuts_of(phases, versions, period)


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
    windows = [Window(start, end) for start, end in windows_of_cuts(cuts, period)]
    used = usage_in(
        tenant_id=customer.id,
        windows=windows,
        cards=[*(cut.card for cut in cuts), *further],
        as_of=as_of,
        known_at=known_at,
    )
    return [
        Stretch(cut.start, cut.end, cut.card, usage, trial=cut.trial, opens=cut.opens)
        for cut, usage in zip(cuts, used, strict=True)
    ]
