"""Windows: consecutive panes judged together, cut by the model's own calendar.

Hours are hours of elapsed time, days run from local midnight to local
midnight (23 or 25 hours where the clock changes), weeks and 28 days from
Monday. Their names are `driftline.stats.lengths`'.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from driftline.stats.lengths import DAY_MS, DAYS, HOUR_MS, LENGTHS, NOMINAL_MS, first_day_of
from monitor.windows.panes import QUARTER_MS, pane_ms_of

__all__ = ["DAY_MS", "LENGTHS", "NOMINAL_MS", "Window", "is_weekend", "window_of"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Window(NamedTuple):
    """`[start_ms, end_ms)` in event time."""

    start_ms: int
    end_ms: int


def window_of(time_ms: int, length: str, timezone: str) -> Window:
    """Return the window of `length` that holds `time_ms`.

    Examples
    --------
    >>> window = window_of(1_360_360_000_000, "day", "America/New_York")
    >>> (window.end_ms - window.start_ms) // 3_600_000
    24
    """
    if length == "hour":
        if pane_ms_of(timezone) == HOUR_MS:
            return Window(time_ms - time_ms % HOUR_MS, time_ms - time_ms % HOUR_MS + HOUR_MS)
        return _local_hour(time_ms, ZoneInfo(timezone))
    local = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    return _of_date(local.date(), length, timezone)


def _local_hour(time_ms: int, zone: ZoneInfo) -> Window:
    """Return the hour of the wall clock, in zones off by a part of an hour.

    Where the clock is moved by half an hour the hour is cut there: windows
    never overlap, so that a pane belongs to one.
    """
    offset_ms = _offset_ms(time_ms, zone)
    start_ms = time_ms - (time_ms + offset_ms) % HOUR_MS
    end_ms = start_ms + HOUR_MS
    for quarter_ms in range(start_ms, end_ms, QUARTER_MS):
        if _offset_ms(quarter_ms, zone) == offset_ms:
            continue
        if quarter_ms <= time_ms:
            start_ms = quarter_ms + QUARTER_MS
        else:
            return Window(start_ms, quarter_ms)
    return Window(start_ms, end_ms)


def _offset_ms(time_ms: int, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(zone)
    return int((local.utcoffset() or timedelta()).total_seconds()) * 1000


@lru_cache(maxsize=4096)
def _of_date(local: date, length: str, timezone: str) -> Window:
    day = first_day_of(local.toordinal() - _EPOCH_DAY, length)
    first = date.fromordinal(_EPOCH_DAY + day)
    last = first + timedelta(days=DAYS[length])
    return Window(_midnight_ms(first, timezone), _midnight_ms(last, timezone))


def _midnight_ms(day: date, timezone: str) -> int:
    """Return the first instant of the local day; where midnight is skipped, the instant after."""
    zone = ZoneInfo(timezone)
    at = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).date() < day:
        at += timedelta(hours=1)
    return int(at.timestamp()) * 1000


def is_weekend(start_ms: int, timezone: str) -> bool:
    """Return whether a day that starts at `start_ms` is a Saturday or a Sunday."""
    local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    return (local + timedelta(hours=1)).weekday() >= 5
