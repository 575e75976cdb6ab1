"""Cuts a period where a tenant's terms change: at phases, at versions of cards, at the end of a trial. Pure."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.agreements.phases import CardVersion, Phase
from billing.period import Period
from billing.rating.cards import RateCard, card_with

#: A key's versions by when they take effect.
Versions = Callable[[str], Sequence[CardVersion]]


@dataclass(frozen=True)
class Cut:
    """[start, end) under `card`, overrides applied. `start` = `end` where no agreement runs in the period: then
    these are the terms for what was used anyway."""

    start: datetime
    end: datetime
    card: RateCard
    trial: bool
    opens: bool


def cuts_of(phases: Sequence[Phase], versions: Versions, period: Period) -> list[Cut]:
    """At least one cut, in the order of time; neighbours with equal terms are one. `phases`: at least one."""
    live = [
        cut
        for start, end in itertools.pairwise(_edges(phases, versions, period))
        if (cut := _cut(phases, versions, start, end)) is not None
    ]
    return _joined(live) if live else [_idle(phases, versions, period)]


def windows_of_cuts(cuts: Sequence[Cut], period: Period) -> list[tuple[datetime, datetime]]:
    """What to measure for each cut. Together they are the whole period: what was used before an agreement began,
    or after it ended, is charged by the nearest terms."""
    edges = [period.start, *(cut.start for cut in cuts[1:]), period.end]
    return list(itertools.pairwise(edges))


def card_in_force(versions: Sequence[CardVersion], pinned: int | None, at: datetime) -> RateCard:
    """The pinned version, or the last that took effect by `at`; the first one where none had."""
    for each in versions:
        if each.card.version == pinned:
            return each.card
    begun = [each.card for each in versions if each.effective_from <= at]
    return begun[-1] if begun else versions[0].card


def _edges(phases: Sequence[Phase], versions: Versions, period: Period) -> list[datetime]:
    def all_of() -> Iterable[datetime | None]:
        for phase in phases:
            yield from (phase.start, phase.end, phase.terms.trial_until)
            if phase.terms.card_version is None:
                yield from (each.effective_from for each in versions(phase.terms.card_key))

    inner = {moment for moment in all_of() if moment is not None and period.start < moment < period.end}
    return [period.start, *sorted(inner), period.end]


def _cut(phases: Sequence[Phase], versions: Versions, start: datetime, end: datetime) -> Cut | None:
    index = next((number for number, phase in enumerate(phases) if phase.covers(start)), None)
    if index is None:
        return None
    phase = phases[index]
    came_from = phases[index - 1].terms.card_key if index else None
    trial_until = phase.terms.trial_until
    return Cut(
        start,
        end,
        _card(phase, versions, start),
        trial=trial_until is not None and start < trial_until,
        opens=start == phase.start and came_from != phase.terms.card_key,
    )


def _idle(phases: Sequence[Phase], versions: Versions, period: Period) -> Cut:
    before = [phase for phase in phases if phase.start < period.end]
    phase, at = (before[-1], period.start) if before else (phases[0], period.end)
    return Cut(at, at, _card(phase, versions, at), trial=False, opens=False)


def _card(phase: Phase, versions: Versions, at: datetime) -> RateCard:
    card = card_in_force(versions(phase.terms.card_key), phase.terms.card_version, at)
    return card_with(card, phase.terms.overrides)


def _joined(cuts: Sequence[Cut]) -> list[Cut]:
    joined: list[Cut] = []
    for cut in cuts:
        last = joined[-1] if joined else None
        if last and not cut.opens and (last.end, last.card, last.trial) == (cut.start, cut.card, cut.trial):
            joined[-1] = replace(last, end=cut.end)
        else:
            joined.append(cut)
    return joined
