"""What the tests of the ledger share: moments to post at, what is out of balance, threads that begin together."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from django.db import connection, connections

from billing.period import Period, period_of

AT = datetime(2026, 12, 3, 9, tzinfo=UTC)
NOVEMBER: Period = period_of(datetime(2026, 11, 1, tzinfo=UTC))
D = Decimal


def unbalanced() -> list[tuple[object, ...]]:
    """Transactions that do not sum to zero or lack entries, by raw SQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.key, coalesce(sum(e.amount), 0), count(e.id), t.size
            FROM billing_journaltransaction t LEFT JOIN billing_journalentry e ON e.transaction_id = t.id
            GROUP BY t.id HAVING coalesce(sum(e.amount), 0) <> 0 OR count(e.id) <> t.size
            """
        )
        return cursor.fetchall()


def kept_wrongly() -> list[tuple[object, ...]]:
    """Balances by month that are not the sums of the journal's entries, by raw SQL: each with both figures."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH summed AS (
                SELECT date_trunc('month', t.service_start, 'UTC') AS month, t.tenant_id, t.currency, e.account,
                       sum(e.amount) AS amount,
                       sum(CASE WHEN t.kind = 'cost_estimate' AND e.amount > 0 THEN e.amount ELSE 0 END) AS priced
                FROM billing_journaltransaction t JOIN billing_journalentry e ON e.transaction_id = t.id
                GROUP BY 1, 2, 3, 4
            )
            SELECT month, tenant_id, currency, account, s.amount, k.amount, s.priced, k.priced
            FROM summed s FULL JOIN billing_monthbalance k USING (month, tenant_id, currency, account)
            WHERE s.amount IS DISTINCT FROM k.amount OR s.priced IS DISTINCT FROM k.priced
            """
        )
        return cursor.fetchall()


def together(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Runs `work` in threads that begin at the same moment, each with a connection of its own; what they raised."""
    barrier, raised = threading.Barrier(count), list[BaseException]()

    def run(index: int) -> None:
        try:
            barrier.wait(10)
            work(index)
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[index]) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised
