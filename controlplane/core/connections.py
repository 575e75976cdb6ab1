"""The database connection of this thread, given back before another machine is waited for."""

from django.db import connection


def connection_give_back() -> None:
    """To the pool, whose connections are few; the next query takes one again. Inside of a transaction it is kept."""
    if not connection.in_atomic_block:
        connection.close()
