"""Bugs planted on purpose into the process that takes events, or the one that pushes them, to see that each is found.

They are put in from outside, mostly at the edges, so that they stay the same bugs whatever the inside looks like.
"""

import re
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any


def _no_dedup() -> None:
    """Every delivery counts as if its id had never been seen."""
    from billing.metering import services
    from tests.billing.crash.roles import answer_wire

    original = services.usage_ingest

    def ingest(*, events: Any, **others: Any) -> Any:
        mark = uuid.uuid4().hex
        fresh = [{**event, "id": f"{event['id']}~{mark}{number}"} for number, event in enumerate(events)]
        answer = original(events=fresh, **others)
        wire = answer_wire(answer)
        results = [SimpleNamespace(**{**each, "id": each["id"].split("~")[0]}) for each in wire["results"]]
        return SimpleNamespace(**{**wire, "results": results})

    services.usage_ingest = ingest


def _acknowledge_before_commit() -> None:
    """The answer leaves, then the transaction commits."""
    from django.db import transaction

    from billing.metering import services
    from tests.billing.crash.roles import AFTER_ANSWER

    original = services.usage_ingest

    def ingest(**arguments: Any) -> Any:
        transaction.set_autocommit(False)
        return original(**arguments)

    def commit() -> None:
        if not transaction.get_autocommit():
            transaction.commit()
            transaction.set_autocommit(True)

    services.usage_ingest = ingest
    AFTER_ANSWER.append(commit)


def _float_sums() -> None:
    """What is added to the sums has been a float on its way."""
    from django.db.backends.signals import connection_created

    def rounded(value: Any) -> Any:
        if isinstance(value, Decimal):
            return Decimal(float(value))
        if isinstance(value, str) and _NUMBERS.fullmatch(value):  # an array as Postgres reads it
            return "{" + ",".join(format(Decimal(float(each)), "f") for each in value[1:-1].split(",")) + "}"
        return [rounded(each) for each in value] if isinstance(value, list) else value

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return execute(sql, rounded(list(params)) if _adds_up(sql) else params, many, context)

    connection_created.connect(
        lambda connection, **_: connection.execute_wrappers.append(watch), weak=False, dispatch_uid="plant"
    )


def _rollup_outside() -> None:
    """The sums are raised in a transaction of their own, after the one that remembers the ids."""
    from django.db import connection
    from django.db.backends.signals import connection_created

    from billing.metering import services

    later = threading.local()
    original = services.usage_ingest

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not _adds_up(sql) or getattr(later, "now", False):
            return execute(sql, params, many, context)
        later.statements.append((sql, params))
        return None

    def ingest(**arguments: Any) -> Any:
        later.statements, later.now = [], False
        answer = original(**arguments)
        later.now = True
        for sql, params in later.statements:
            with connection.cursor() as cursor:
                cursor.execute(sql, params)
        return answer

    connection_created.connect(
        lambda connection, **_: connection.execute_wrappers.append(watch), weak=False, dispatch_uid="plant"
    )
    services.usage_ingest = ingest


def _outbox_by_cursor() -> None:
    """The outbox is read from behind the last row that was settled, as if rows came in the order of their numbers."""
    from tenant_runtime.metering.pusher import Pusher

    original = Pusher._push_batch

    class ByCursor:
        def __init__(self, conn: Any) -> None:
            self._conn = conn

        def __getattr__(self, name: str) -> Any:
            return getattr(self._conn, name)

        async def execute(self, query: str, *arguments: Any) -> Any:
            settled = "seq > (SELECT coalesce(max(seq), 0) FROM usage_outbox WHERE state <> 'pending')"
            return await self._conn.execute(query.replace("state = 'pending'", settled), *arguments)

    async def push_batch(self: Any, conn: Any, http: Any) -> int:
        return await original(self, ByCursor(conn), http)  # type: ignore[arg-type]

    Pusher._push_batch = push_batch  # type: ignore[method-assign]


_NUMBERS = re.compile(r"\{[0-9.]+(,[0-9.]+)*\}")


def _float_money() -> None:
    """Prices and quantities are multiplied as floats."""
    import sys

    import billing.invoicing.close  # noqa: F401

    def product(left: Decimal, right: Decimal) -> Decimal:
        return Decimal(float(left) * float(right))

    for name, module in list(sys.modules.items()):
        if name.startswith("billing.rating.") and hasattr(module, "exact_product"):
            module.exact_product = product  # type: ignore[attr-defined]


def _adds_up(sql: Any) -> bool:
    return "INSERT INTO billing_usagerollup" in str(sql)


PLANTS: dict[str, Callable[[], None]] = {
    "no_dedup": _no_dedup,
    "acknowledge_before_commit": _acknowledge_before_commit,
    "float_sums": _float_sums,
    "rollup_outside": _rollup_outside,
    "outbox_by_cursor": _outbox_by_cursor,
    "float_money": _float_money,
}


def plant(name: str) -> None:
    PLANTS[name]()
