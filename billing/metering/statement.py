"""One statement for many measurements: each is a SELECT of the same columns, and all are asked for together.

A page that shows a report asks for some thirty, and one round trip each would cost more than what they read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from billing.metering.arrays import array_plain
from billing.metering.windows import Window

#: Tenant, number of the window, series, dimensions as JSON, the value that is told apart (only of meters that count
#: distinct ones), the quantity (of all others), raw events (in parts that read these).
Row = tuple[UUID, int, str, str, str | None, Decimal | None, bytes | None]
#: Of one statement: Postgres plans each part by itself and holds all of them.
MOST_PARTS: Final = 100


@dataclass(frozen=True)
class Part:
    """`sql` selects the columns of a Row (without raw events unless `raw`), with its `arguments` by name; `take` is
    given each row."""

    sql: str
    arguments: Mapping[str, Any]
    take: Callable[[Row], None]
    raw: bool = False

    def numbered(self, number: int) -> str:
        """With the number first. Parts have names of arguments in common, so each gets its own."""
        body = "" if self.raw else ", NULL::bytea"
        sql = self.sql.replace("%(", f"%(of_{number}_")
        return f"SELECT {number}, part.*{body} FROM ({sql}) AS part"  # noqa: S608 - a part is SQL of ours


def parts_run(parts: Sequence[Part]) -> None:
    for first in range(0, len(parts), MOST_PARTS):
        some = parts[first : first + MOST_PARTS]
        union = " UNION ALL ".join(part.numbered(number) for number, part in enumerate(some))
        arguments = {
            f"of_{number}_{name}": value
            for number, part in enumerate(some)
            for name, value in part.arguments.items()
        }
        with connection.cursor() as cursor:
            cursor.execute(union, arguments)
            for number, *row in cursor.fetchall():
                some[number].take(tuple(row))


def tenants_array(tenant_ids: Iterable[UUID]) -> str:
    # Without hyphens, which take most of the time that thousands of them take.
    return array_plain(tenant_id.hex for tenant_id in tenant_ids)


def starts_array(windows: Iterable[Window]) -> str:
    return array_plain(window.start.isoformat() for window in windows)


def ends_array(windows: Iterable[Window]) -> str:
    return array_plain(window.end.isoformat() for window in windows)
