"""A bar chart per day as SVG geometry, made on the server. Pure: the template draws what is decided here."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Final

from controlplane.portal.figures import compact_text, day_month_text, quantity_text
from controlplane.portal.words import word_text

WIDTH: Final = 1000
HEIGHT: Final = 200
_STEPS: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(frozen=True)
class Bar:
    date: date
    value: Decimal
    x: float
    width: float
    y: float
    height: float
    slot_x: float
    slot_width: float
    label: str
    known: bool
    today: bool


@dataclass(frozen=True)
class Chart:
    """`y_labels` go from the top down; `grid` are the heights of their lines."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    y_labels: tuple[str, ...]
    grid: tuple[float, ...]
    x_labels: tuple[str, ...]
    peak: str

    @property
    def rows(self) -> list[Bar]:
        return [bar for bar in self.bars if bar.known]


def month_chart(*, period: str, daily: Iterable[tuple[str, str]], unit: str, today: date) -> Chart:
    """One slot for each day of `period` (YYYY-MM); `daily` are (YYYY-MM-DD, decimal string)."""
    year, month = (int(part) for part in period.split("-"))
    values = {date.fromisoformat(day): Decimal(value) for day, value in daily}
    days = [date(year, month, number) for number in range(1, monthrange(year, month)[1] + 1)]
    top = axis_top(max((values.get(day, Decimal(0)) for day in days), default=Decimal(0)))
    pitch = WIDTH / len(days)
    bars = []
    for index, day in enumerate(days):
        value = values.get(day, Decimal(0))
        height = float(value / top) * HEIGHT
        if value > 0:
            height = max(height, 1.5)
        bars.append(
            Bar(
                date=day,
                value=value,
                x=round(index * pitch + pitch * 0.14, 2),
                width=round(pitch * 0.72, 2),
                y=round(HEIGHT - height, 2),
                height=round(height, 2),
                slot_x=round(index * pitch, 2),
                slot_width=round(pitch, 2),
                label=f"{day_month_text(day, padded=True)}: {quantity_text(value)} {word_text(unit)}",
                known=day in values,
                today=day == today,
            )
        )
    marks = (days[0], days[len(days) // 4], days[len(days) // 2], days[3 * len(days) // 4], days[-1])
    peak = max(values.values(), default=Decimal(0))
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        bars=tuple(bars),
        y_labels=tuple(compact_text(top * part / 4) for part in (4, 3, 2, 1, 0)),
        grid=tuple(HEIGHT * part / 4 for part in range(5)),
        x_labels=tuple(day_month_text(mark) for mark in marks),
        peak=quantity_text(peak),
    )


def axis_top(peak: Decimal) -> Decimal:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that holds the peak; 1 for an empty chart."""
    if peak <= 0:
        return Decimal(1)
    scale = Decimal(10) ** (peak.adjusted())
    for step in _STEPS:
        if peak <= step * scale:
            return step * scale
    return peak.to_integral_value(ROUND_CEILING)
