"""What ingest answers: the shape of contracts.usage.IngestAnswer, light enough for one result an event."""

from typing import Literal

import msgspec

Outcome = Literal["accepted", "duplicate", "conflict", "rejected"]


class IngestResult(msgspec.Struct, frozen=True, gc=False):
    id: str
    outcome: Outcome
    reason: str | None = None


class IngestAnswer(msgspec.Struct, frozen=True):
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: list[IngestResult]


def answer_of(results: list[IngestResult]) -> IngestAnswer:
    outcomes = [result.outcome for result in results]
    return IngestAnswer(
        accepted=outcomes.count("accepted"),
        duplicate=outcomes.count("duplicate"),
        conflict=outcomes.count("conflict"),
        rejected=outcomes.count("rejected"),
        results=results,
    )
