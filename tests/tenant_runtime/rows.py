"""Every row of a runtime's database, for judging that somebody wrote nothing."""

import time
from collections import Counter

import psycopg
from psycopg import sql

Rows = Counter[tuple[str, str]]

#: What the living write meanwhile: the heartbeat of whoever has the run, and the gauge of the database's size.
_MOVING = {
    "runs": "SELECT (to_jsonb(t) - 'lease_until')::text FROM runs t",
    "usage_outbox": "SELECT t::text FROM usage_outbox t WHERE id NOT LIKE 'storage:%'",
}
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"


def rows_read(url: str) -> Rows:
    """All tables at one moment."""
    found: Rows = Counter()
    with psycopg.connect(url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for (table,) in conn.execute(_TABLES).fetchall():
            moving = _MOVING.get(table)
            whole = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            statement = sql.SQL(moving) if moving else whole  # type: ignore[arg-type]
            found.update((table, row) for (row,) in conn.execute(statement))
    return found


def rows_settled(url: str, *, still_s: float = 0.5, within_s: float = 15) -> Rows:
    """The rows once nobody has written for a while."""
    rows, since = rows_read(url), time.monotonic()
    deadline = since + within_s
    while time.monotonic() - since < still_s:
        assert time.monotonic() < deadline, "somebody goes on writing"
        time.sleep(0.1)
        if (now := rows_read(url)) != rows:
            rows, since = now, time.monotonic()
    return rows


def rows_changed(before: Rows, after: Rows) -> list[tuple[str, str]]:
    """Rows that came, went or are another: a changed one is here twice."""
    return sorted(((after - before) + (before - after)).elements())
