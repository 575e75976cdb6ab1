"""Revenue, cost and margin by month as SVG geometry. Pure: the template draws what is decided here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Final

from django.utils.translation import gettext

from billing.ledger.trend import MonthLine
from controlplane.portal.chart import HEIGHT, WIDTH, axis_top
from controlplane.portal.figures import compact_text, money_text, month_text

YOf = Callable[[Decimal], float]
_LINES: Final = 4
_LEAST: Final = 1.5


@dataclass(frozen=True)
class TrendBar:
    kind: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class TrendMonth:
    slot_x: float
    slot_width: float
    bars: tuple[TrendBar, ...]
    margin_x: float
    margin_y: float
    label: str
    name: str


@dataclass(frozen=True)
class TrendChart:
    """`zero` is the height of the line that bars stand on; `margin` are the points of its line."""

    width: int
    height: int
    months: tuple[TrendMonth, ...]
    y_labels: tuple[str, ...]
    grid: tuple[float, ...]
    zero: float
    margin: str
    label: str


def trend_chart(lines: Sequence[MonthLine]) -> TrendChart:
    """Two bars for each month, what was earned and what it cost, and a line of what is left."""
    currency = lines[0].currency
    highest = max(max(line.revenue, line.cost, line.margin) for line in lines)
    lowest = min(min(line.revenue, line.cost, line.margin, Decimal(0)) for line in lines)
    # Lines lie at whole steps above and below zero, so that zero is one of them.
    step = axis_top((max(highest, Decimal(0)) - lowest) / _LINES)
    above = max(ceil(highest / step), 1 if lowest == 0 else 0)
    below = ceil(-lowest / step)
    top, span = above * step, (above + below) * step

    def y_of(value: Decimal) -> float:
        return round(float((top - value) / span) * HEIGHT, 2)

    pitch = WIDTH / len(lines)
    months = []
    for index, line in enumerate(lines):
        left = index * pitch
        months.append(
            TrendMonth(
                slot_x=round(left, 2),
                slot_width=round(pitch, 2),
                bars=(
                    _bar("revenue", left + pitch * 0.2, pitch * 0.28, line.revenue, y_of),
                    _bar("cost", left + pitch * 0.52, pitch * 0.28, line.cost, y_of),
                ),
                margin_x=round(left + pitch / 2, 2),
                margin_y=y_of(line.margin),
                label=gettext("%(month)s: revenue %(revenue)s, cost %(cost)s, margin %(margin)s")
                % {
                    "month": month_text(line.month),
                    "revenue": money_text(line.revenue, currency),
                    "cost": money_text(line.cost, currency),
                    "margin": money_text(line.margin, currency),
                },
                name=month_text(line.month),
            )
        )
    steps = [number * step for number in range(above, -below - 1, -1)]
    return TrendChart(
        width=WIDTH,
        height=HEIGHT,
        months=tuple(months),
        y_labels=tuple(compact_text(step) for step in steps),
        grid=tuple(y_of(step) for step in steps),
        zero=y_of(Decimal(0)),
        margin=" ".join(f"{month.margin_x},{month.margin_y}" for month in months),
        label=gettext("Revenue, cost and margin by month in %(currency)s") % {"currency": currency},
    )


def _bar(kind: str, x: float, width: float, value: Decimal, y_of: YOf) -> TrendBar:
    zero, end = y_of(Decimal(0)), y_of(value)
    height = abs(zero - end)
    if value != 0:
        height = max(height, _LEAST)
    top = zero - height if value >= 0 else zero
    return TrendBar(kind, round(x, 2), round(width, 2), round(top, 2), round(height, 2))
