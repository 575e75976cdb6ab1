"""Lines of a feed on their way in: first all of them into a temporary table, then those that differ into the real one.

Lives in the caller's transaction; only what is in SQL here touches `billing_costline`.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.costs.feeds import FeedLine

#: (book, day, currency)
Cell = tuple[UUID, date, str]


def stage_open() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMPORARY TABLE IF NOT EXISTS billing_costline_stage (
                billing_period text, line_id text, book_id uuid, tag text, day date, currency text,
                amount numeric, final boolean, service text
            ) ON COMMIT DROP
            """
        )
        cursor.execute("DELETE FROM billing_costline_stage")


def stage_add(lines: Sequence[tuple[FeedLine, UUID]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_costline_stage
            SELECT * FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::text[], %s::date[], %s::text[],
                                 %s::numeric[], %s::boolean[], %s::text[])
            """,
            [
                [line.billing_period for line, _ in lines],
                [line.line_id for line, _ in lines],
                [book for _, book in lines],
                [line.tag for line, _ in lines],
                [line.day for line, _ in lines],
                [line.currency for line, _ in lines],
                [line.amount for line, _ in lines],
                [line.final for line, _ in lines],
                [line.service for line, _ in lines],
            ],
        )


def stage_apply(
    *, pool_id: UUID, feed: str, import_id: UUID, replace: bool
) -> tuple[int, dict[Cell, Decimal]]:
    """Makes the stored lines what the stage says; `replace` also removes what it does not name in its months.

    Returns how many lines changed, and by how much each (book, day, currency) did; what did not is left out.
    """
    before = _sums(pool_id, feed)
    with connection.cursor() as cursor:
        changed = 0
        if replace:
            cursor.execute(
                """
                DELETE FROM billing_costline l
                WHERE l.pool_id = %s AND l.feed = %s
                  AND l.billing_period IN (SELECT DISTINCT billing_period FROM billing_costline_stage)
                  AND NOT EXISTS (
                      SELECT FROM billing_costline_stage s
                      WHERE s.billing_period = l.billing_period AND s.line_id = l.line_id
                  )
                """,
                [pool_id, feed],
            )
            changed = cursor.rowcount
        cursor.execute(
            """
            INSERT INTO billing_costline AS l (pool_id, feed, billing_period, line_id, book_id, tag, day, currency,
                                               amount, final, service, cost_import_id)
            SELECT %s, %s, billing_period, line_id, book_id, tag, day, currency, amount, final, service, %s
            FROM billing_costline_stage
            ON CONFLICT (pool_id, feed, billing_period, line_id) DO UPDATE
            SET book_id = EXCLUDED.book_id, tag = EXCLUDED.tag, day = EXCLUDED.day, currency = EXCLUDED.currency,
                amount = EXCLUDED.amount, final = EXCLUDED.final, service = EXCLUDED.service,
                cost_import_id = EXCLUDED.cost_import_id
            WHERE (l.book_id, l.tag, l.day, l.currency, l.amount, l.final, l.service)
                  IS DISTINCT FROM (EXCLUDED.book_id, EXCLUDED.tag, EXCLUDED.day, EXCLUDED.currency, EXCLUDED.amount,
                                    EXCLUDED.final, EXCLUDED.service)
            """,
            [pool_id, feed, import_id],
        )
        changed += cursor.rowcount
    after = _sums(pool_id, feed)
    cells = sorted({*before, *after}, key=lambda cell: (cell[1], str(cell[0]), cell[2]))
    differences = {cell: after.get(cell, Decimal(0)) - before.get(cell, Decimal(0)) for cell in cells}
    return changed, {cell: difference for cell, difference in differences.items() if difference}


def _sums(pool_id: UUID, feed: str) -> dict[Cell, Decimal]:
    """Of the months that the stage names."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT book_id, day, currency, sum(amount) FROM billing_costline
            WHERE pool_id = %s AND feed = %s
              AND billing_period IN (SELECT DISTINCT billing_period FROM billing_costline_stage)
            GROUP BY book_id, day, currency
            """,
            [pool_id, feed],
        )
        return {(book, day, currency): amount for book, day, currency, amount in cursor.fetchall()}
