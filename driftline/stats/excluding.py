"""Excluded slices: stretches of a reference's time that a user knows were no usual ones.

A snowstorm in the training months teaches limits that the next one hides behind. Rows of
excluded stretches are not counted at all, and the reference remembers which they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference
from driftline.stats.checked import short
from driftline.stats.slicing import local_to_utc_ms

MAX_EXCLUDED: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1)
_ONE_DAY: Final = timedelta(days=1)


def intervals_of(
    given: Sequence[Any], zone: tzinfo, times_ms: NDArray[np.int64]
) -> tuple[tuple[int, int], ...]:
    """The stretches of time that the user named, as instants.

    Parameters
    ----------
    given : sequence
        Each a local date ("2013-02-08", or a `date`), or an interval as "start/end" or a pair
        (start, end). Dates of an interval both belong to it; of times (naive ones are local)
        the end does not.
    times_ms : int64 array, at least one
        The rows' times: an interval without any of them is a mistake.

    Returns
    -------
    tuple of pairs
        [start_ms, end_ms), ascending; what overlaps or touches is one.

    Raises
    ------
    InvalidReference
        When one cannot be read, ends before it begins, or holds no row.
    """
    if isinstance(given, (str, date)):
        raise InvalidReference(f"exclude_slices must be a list: [{short(given)}]")
    if len(given) > MAX_EXCLUDED:
        raise InvalidReference(f"exclude_slices: {len(given):,} are over {MAX_EXCLUDED:,}")
    found = []
    for entry in given:
        start_ms, end_ms = _interval(entry, zone)
        if not ((times_ms >= start_ms) & (times_ms < end_ms)).any():
            # The distance to the interval, from whichever side.
            away = np.maximum(start_ms - times_ms, times_ms - end_ms)
            nearest = int(times_ms[int(away.argmin())])
            raise InvalidReference(
                f"exclude_slices: no row is in {_text(entry)}; the nearest is of "
                f"{local_date(nearest, zone)}"
            )
        found.append((start_ms, end_ms))
    merged: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(found):
        if merged and start_ms <= merged[-1][1]:
            start_ms, end_ms = merged[-1][0], max(end_ms, merged.pop()[1])
        merged.append((start_ms, end_ms))
    return tuple(merged)


def is_kept(
    times_ms: NDArray[np.int64],
    has_time: NDArray[np.bool_],
    intervals: Sequence[tuple[int, int]],
) -> NDArray[np.bool_]:
    """Which rows lie in none of the intervals; rows without a time do."""
    kept = np.ones(len(times_ms), np.bool_)
    for start_ms, end_ms in intervals:
        kept &= ~((times_ms >= start_ms) & (times_ms < end_ms))
    return kept | ~has_time


def local_date(ms: int, zone: tzinfo) -> str:
    """The local date of an instant, such as "2013-02-08"."""
    return f"{(_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=UTC).astimezone(zone):%Y-%m-%d}"


def _interval(entry: Any, zone: tzinfo) -> tuple[int, int]:
    sides = entry.split("/") if isinstance(entry, str) else entry
    if isinstance(sides, date):
        sides = [sides]
    if not isinstance(sides, (list, tuple)) or len(sides) not in (1, 2):
        raise _odd(entry)
    try:
        first, last = _side(sides[0]), _side(sides[-1])
        if len(sides) == 1 and isinstance(first, datetime):
            raise _odd(entry)
        start_ms = _instant_ms(first, zone)
        # A date stands for all of its day.
        is_day = not isinstance(last, datetime)
        end_ms = _instant_ms(last + _ONE_DAY if is_day else last, zone)
    except (ValueError, TypeError, OverflowError):
        raise _odd(entry) from None
    if end_ms <= start_ms:
        raise InvalidReference(f"exclude_slices: {_text(entry)} ends before it begins")
    return start_ms, end_ms


def _side(value: Any) -> date:
    if isinstance(value, date):
        return value
    text = str.strip(value)
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def _instant_ms(value: date, zone: tzinfo) -> int:
    if isinstance(value, datetime) and value.tzinfo is not None:
        passed = value.astimezone(UTC).replace(tzinfo=None) - _EPOCH
        return passed // timedelta(milliseconds=1)
    local = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        local = value
    local_ms = (local - _EPOCH) // timedelta(milliseconds=1)
    return int(local_to_utc_ms(np.array([local_ms], np.int64), zone)[0])


def _odd(entry: Any) -> InvalidReference:
    return InvalidReference(
        f"exclude_slices: {short(entry)} is neither a local date (2013-02-08) nor an interval "
        "(2013-02-08/2013-02-10, 2013-02-08T17:00/2013-02-08T21:00)"
    )


def _text(entry: Any) -> str:
    return entry if isinstance(entry, str) else short(entry)
