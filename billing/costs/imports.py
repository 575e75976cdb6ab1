"""Takes a provider's bill into the ledger: once per file, all of it or nothing, as differences to what was told before.

Mode `replace`: the file is the whole of its billing months, so a line that an earlier delivery had and this one has
not is gone. Mode `add`: another part of the same delivery, or a provider that sends only what changed.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import BinaryIO, Final
from uuid import UUID

from django.db import transaction

from billing.costs.books import Claims
from billing.costs.days import day_period
from billing.costs.estimates import estimates_replace
from billing.costs.feeds import Feed, FeedLine, FeedProblem, feed_read
from billing.costs.models import CostImport
from billing.costs.overhead import overhead_distribute
from billing.costs.stage import Cell, stage_add, stage_apply, stage_open
from billing.costs.unpacking import text_lines
from billing.directory import directory
from billing.exact import WIDE, decimal_text
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.locks import books_lock
from billing.period import period_of
from controlplane.core.audit import audit_record
from controlplane.core.errors import FieldProblem, ValidationFailed
from controlplane.core.ids import uuid7

REPLACE: Final = "replace"
ADD: Final = "add"
MODES: Final = (REPLACE, ADD)
MOST_PROBLEMS: Final = 50
_BATCH: Final = 2000


@dataclass(frozen=True)
class ImportOutcome:
    """`fresh` is False for a file that was imported before: nothing was done again. Of a dry run nothing is kept."""

    cost_import: CostImport
    fresh: bool
    dry_run: bool


@dataclass
class _Found:
    """What reading the file came to."""

    lines: int = 0
    final: int = 0
    untagged: int = 0
    unknown_tags: Counter[str] = field(default_factory=Counter)
    problems: list[FeedProblem] = field(default_factory=list)


def cost_feed_import(
    *,
    pool_id: UUID,
    stream: BinaryIO,
    feed: str = "aws",
    mode: str = REPLACE,
    dry_run: bool = False,
    actor: str,
    now: datetime,
) -> ImportOutcome:
    """Reads a CUR or FOCUS file (plain or gzip; `stream` can be wound back) for the fleet of the team `pool_id`.

    A line whose tag names no tenant of the team goes to the fleet's overhead. Then estimates give way to what is
    known, and overhead is distributed anew. Raises ValidationFailed with the numbers of malformed lines
    (`cost_feed_malformed`); then nothing was imported.
    """
    if mode not in MODES:
        raise ValidationFailed.of("mode", f"must be one of {', '.join(MODES)}")
    sha256 = _digest(stream)
    claims = Claims(directory().customers(team_id=pool_id))
    with transaction.atomic():
        read, found = _stage(stream, claims, pool_id)
        books_lock([pool_id, *claims.tenant_ids()])
        known = CostImport.objects.filter(pool_id=pool_id, feed=feed, sha256=sha256).first()
        if known is not None:
            return ImportOutcome(known, fresh=False, dry_run=dry_run)
        made = CostImport.objects.create(
            id=uuid7(),
            pool_id=pool_id,
            feed=feed,
            format=read.format,
            mode=mode,
            sha256=sha256,
            lines=found.lines,
            actor=actor,
            created_at=now,
        )
        changed, differences = stage_apply(
            pool_id=pool_id, feed=feed, import_id=made.id, replace=mode == REPLACE
        )
        _post(made, differences, now)
        estimates_replace(pool_id=pool_id, feed=feed, tenant_ids=claims.tenant_ids(), at=now)
        for period in {period_of(day_period(day).start) for _, day, _ in differences}:
            overhead_distribute(pool_id=pool_id, tenant_ids=claims.tenant_ids(), period=period, at=now)
        made.summary = _summary(found, changed, differences)
        made.save(update_fields=["summary"])
        audit_record(
            at=now,
            actor=actor,
            action="costs.imported",
            subject_type="cost_import",
            subject_id=str(made.id),
            team_id=pool_id,
            data={"feed": feed, "sha256": sha256, "mode": mode, **made.summary},
        )
        if dry_run:
            transaction.set_rollback(True)
    return ImportOutcome(made, fresh=True, dry_run=dry_run)


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)
    stream.seek(0)
    return digest.hexdigest()


def _stage(stream: BinaryIO, claims: Claims, pool_id: UUID) -> tuple[Feed, _Found]:
    """Every line into the stage, before any lock is taken: reading a large file takes a while."""
    read = feed_read(text_lines(stream))
    if isinstance(read, FeedProblem):
        raise _malformed([read], 1)
    stage_open()
    found = _Found()
    lines = _good(read, found)
    while batch := list(islice(lines, _BATCH)):
        stage_add([(line, _book(line, claims, pool_id, found)) for line in batch])
    if found.problems:
        raise _malformed(found.problems, len(found.problems))
    return read, found


def _good(read: Feed, found: _Found) -> Iterator[FeedLine]:
    for line in read.lines:
        if isinstance(line, FeedProblem):
            found.problems.append(line)
            if len(found.problems) >= MOST_PROBLEMS:
                return
        else:
            found.lines += 1
            found.final += line.final
            yield line


def _book(line: FeedLine, claims: Claims, pool_id: UUID, found: _Found) -> UUID:
    tenant_id = claims.tenant_of(line.tag, line.day) if line.tag else None
    if tenant_id is not None:
        return tenant_id
    if line.tag:
        found.unknown_tags[line.tag] += 1
    else:
        found.untagged += 1
    return pool_id


def _malformed(problems: list[FeedProblem], count: int) -> ValidationFailed:
    told: list[FieldProblem] = [
        {"pointer": f"/lines/{problem.number}", "detail": problem.detail} for problem in problems
    ]
    first = problems[0]
    more = (
        "" if count == 1 else f" There are {'at least ' if count >= MOST_PROBLEMS else ''}{count} such lines."
    )
    return ValidationFailed(
        f"Line {first.number} {first.detail}.{more}",
        code="cost_feed_malformed",
        errors=told,
        hint="Nothing was imported. Mend the file or export it again.",
    )


def _post(made: CostImport, differences: Mapping[Cell, Decimal], now: datetime) -> None:
    for (book, day, currency), difference in differences.items():
        account = accounts.COST_OVERHEAD if book == made.pool_id else accounts.COST_INFRASTRUCTURE
        journal_post(
            key=f"cost_feed:{made.id}:{book}:{day}:{currency}",
            kind="cost_feed",
            at=now,
            tenant_id=book,
            currency=currency,
            entries=[Entry(account, difference), Entry(accounts.COST_CLEARING, -difference)],
            about=f"Billed by {made.feed} for {day}",
            period=day_period(day),
            data={"import": str(made.id), "feed": made.feed},
        )


def _summary(found: _Found, changed: int, differences: Mapping[Cell, Decimal]) -> dict[str, object]:
    posted: dict[str, Decimal] = {}
    for (_, _, currency), difference in differences.items():
        posted[currency] = WIDE.add(posted.get(currency, Decimal(0)), difference)
    return {
        "final": found.final,
        "changed": changed,
        "untagged": found.untagged,
        "unknown_tags": dict(sorted(found.unknown_tags.most_common(20))),
        "posted": {currency: decimal_text(amount) for currency, amount in sorted(posted.items())},
    }
