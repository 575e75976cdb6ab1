"""An agreement's phases as data, and how a change cuts them. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from billing.rating.cards import Overrides, RateCard


@dataclass(frozen=True)
class CardVersion:
    """A published card and from when it counts."""

    card: RateCard
    effective_from: datetime


@dataclass(frozen=True)
class PhaseTerms:
    """`plan` is the tenant's, whose card `card_key` is unless the contract names another; `card_version` None:
    whichever is in force. Until `trial_until` the tenant pays nothing."""

    plan: str
    card_key: str
    card_version: int | None = None
    overrides: Overrides = field(default_factory=Overrides)
    trial_until: datetime | None = None


@dataclass(frozen=True)
class Phase:
    """`terms` from `start` on, up to `end` (None: until changed)."""

    start: datetime
    end: datetime | None
    terms: PhaseTerms

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment < self.end)


Change = Callable[[PhaseTerms], PhaseTerms]


def amended(
    phases: Sequence[Phase], change: Change, *, start: datetime, end: datetime | None = None
) -> list[Phase]:
    """The phases with `change` applied within [start, end), cut where it begins and ends, equal neighbours
    joined."""
    pieces = []
    for phase in phases:
        for piece in _cut(phase, [start] if end is None else [start, end]):
            inside = piece.start >= start and (end is None or (piece.end is not None and piece.end <= end))
            pieces.append(replace(piece, terms=change(piece.terms)) if inside else piece)
    return _joined(pieces)


def ended(phases: Sequence[Phase], *, at: datetime) -> list[Phase]:
    """The phases up to `at`; nothing after it."""
    pieces = [piece for phase in phases for piece in _cut(phase, [at])]
    return [piece for piece in pieces if piece.start < at]


def _cut(phase: Phase, moments: Sequence[datetime]) -> list[Phase]:
    pieces = [phase]
    for moment in moments:
        last = pieces[-1]
        if last.start < moment and (last.end is None or moment < last.end):
            pieces[-1:] = [replace(last, end=moment), replace(last, start=moment)]
    return pieces


def _joined(pieces: Sequence[Phase]) -> list[Phase]:
    joined: list[Phase] = []
    for piece in pieces:
        if joined and joined[-1].end == piece.start and joined[-1].terms == piece.terms:
            joined[-1] = replace(joined[-1], end=piece.end)
        else:
            joined.append(piece)
    return joined
