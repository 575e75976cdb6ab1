"""Lists whose filter, order and page live in the URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.functional import cached_property
from django.utils.translation import gettext

PER_PAGE = 50
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Column:
    """A column's heading; `sort` is set where the list may be ordered by it."""

    title: str
    key: str = ""
    numeric: bool = False
    narrow: bool = True


@dataclass(frozen=True)
class Order:
    """`sort=key` is ascending, `sort=-key` descending."""

    key: str
    descending: bool

    @property
    def text(self) -> str:
        return f"-{self.key}" if self.descending else self.key


@dataclass(frozen=True)
class Heading:
    """A column as the table shows it: where a click leads, and what it is sorted by now."""

    title: str
    numeric: bool
    narrow: bool
    sort_link: str
    direction: str


def order_of(params: QueryDict, allowed: Mapping[str, str], default: str) -> Order:
    """The order asked for; an unknown one is the default, since an old link should still open."""
    raw = params.get("sort", default)
    key = raw.removeprefix("-")
    if key not in allowed:
        raw, key = default, default.removeprefix("-")
    return Order(key, raw.startswith("-"))


def ordered(found: QuerySet[Any], order: Order, allowed: Mapping[str, str]) -> QuerySet[Any]:
    sign = "-" if order.descending else ""
    return found.order_by(f"{sign}{allowed[order.key]}", f"{sign}pk")


def headings(columns: Sequence[Column], order: Order, params: QueryDict) -> list[Heading]:
    made = []
    for column in columns:
        current = bool(column.key) and column.key == order.key
        link = ""
        if column.key:
            query = params.copy()
            query["sort"] = column.key if not current or order.descending else f"-{column.key}"
            query.pop("page", None)
            link = f"?{query.urlencode()}"
        direction = ("descending" if order.descending else "ascending") if current else ""
        made.append(Heading(gettext(column.title), column.numeric, column.narrow, link, direction))
    return made


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to MOST_COUNTED and no further: nobody pages through more, and counting all of it takes longer than
    showing any of it. `capped` says that there is more."""

    @cached_property
    def _counted(self) -> int:
        found = self.object_list
        if not isinstance(found, QuerySet):
            return len(found)
        return found.order_by()[: MOST_COUNTED + 1].count()

    @property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @property
    def capped(self) -> bool:
        return self._counted > MOST_COUNTED


def page_of(found: QuerySet[Any] | Sequence[Any], params: QueryDict) -> Page[Any]:
    """The page asked for, or the nearest one that exists."""
    return BoundedPaginator(found, PER_PAGE).get_page(params.get("page"))


def offset_asked(params: QueryDict) -> int:
    """How many rows come before the page asked for; beyond all of them for one that cannot be."""
    try:
        number = int(params.get("page", "1"))
    except ValueError:
        return 0
    return (number - 1) * PER_PAGE if 1 <= number <= MOST_COUNTED else MOST_COUNTED * PER_PAGE


def page_at(rows: Sequence[Any], count: int, params: QueryDict) -> Page[Any]:
    """The same of rows that the database cut out of `count` already, at `offset_asked`."""
    found = page_of(range(count), params)
    found.object_list = rows
    return found


def chosen(params: QueryDict, name: str, allowed: Sequence[str]) -> str:
    """A filter's value when it is one that exists, else none."""
    value = params.get(name, "")
    return value if value in allowed else ""
