"""Windows cover a stretch without gap or overlap, whatever clocks do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.windows import windows_of, zone_parse
from controlplane.core.errors import ValidationFailed

moments = st.datetimes(
    min_value=datetime(2011, 1, 1),  # noqa: DTZ001
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
zones = st.sampled_from(
    [
        "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
        "Pacific/Apia", "America/Havana", "America/Sao_Paulo", "Africa/Casablanca",
    ]
)  # fmt: skip


@given(
    moments,
    st.timedeltas(timedelta(seconds=1), timedelta(days=100)),
    st.sampled_from(["hour", "day", "month"]),
    zones,
)
def test_windows_touch_and_cover(start: datetime, length: timedelta, size: str, zone: str) -> None:
    windows = windows_of(start=start, end=start + length, size=size, zone=ZoneInfo(zone))
    assert windows[0].start <= start < windows[0].start + timedelta(minutes=15)
    assert windows[-1].end - timedelta(minutes=15) < start + length <= windows[-1].end
    assert all(one.end == next_one.start for one, next_one in pairwise(windows))
    assert all(window.start < window.end for window in windows)
    local = [window.start.astimezone(ZoneInfo(zone)) for window in windows[1:]]
    assert size != "month" or all(moment.day == 1 for moment in local)


def _hours(zone: str, day: datetime, size: str = "day") -> list[float]:
    start = day.replace(tzinfo=ZoneInfo(zone))
    windows = windows_of(
        start=start, end=(start + timedelta(days=2)).astimezone(UTC), size=size, zone=ZoneInfo(zone)
    )
    return [(window.end - window.start) / timedelta(hours=1) for window in windows]


def test_days_are_23_or_25_hours_where_the_clock_jumps() -> None:
    assert _hours("Europe/Berlin", datetime(2026, 3, 29)) == [23, 24]  # noqa: DTZ001
    assert _hours("Europe/Berlin", datetime(2026, 10, 25)) == [25, 24]  # noqa: DTZ001
    assert _hours("Australia/Lord_Howe", datetime(2026, 4, 5)) == [24.5, 24]  # noqa: DTZ001


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    assert _hours("Europe/Berlin", datetime(2026, 10, 25), "hour") == [1] * 49  # noqa: DTZ001


def test_wrong_queries_name_the_field() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    utc = ZoneInfo("UTC")
    cases = {
        "/window": lambda: windows_of(start=now, end=now + timedelta(days=1), size="week", zone=utc),
        "/to": lambda: windows_of(start=now, end=now, size="day", zone=utc),
        "/from": lambda: windows_of(start=now.replace(tzinfo=None), end=now, size="day", zone=utc),
        "/timezone": lambda: zone_parse("../etc/passwd"),
    }
    for pointer, call in cases.items():
        with pytest.raises(ValidationFailed) as caught:
            call()
        assert caught.value.errors[0]["pointer"] == pointer
    for name in ("", "Nowhere", "/etc", "Europe", "x" * 5000, "a\0b"):
        with pytest.raises(ValidationFailed):
            zone_parse(name)


def test_too_many_windows_are_refused() -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(ValidationFailed, match="longer one"):
        windows_of(start=start, end=start + timedelta(days=1000), size="hour", zone=ZoneInfo("UTC"))
