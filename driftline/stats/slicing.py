"""Slices: a reference cut into hours, local days, Monday weeks and 28 days.

What a feature does by itself from window to window is learnt from these. Only full slices
count: a partial first or last day lifted a guard from .022 to .478. This module knows
times; what is counted in a slice is `slice_counts`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.lengths import DAY_MS, DAYS, HOUR_MS, LENGTHS, first_day_of

# Every zone's offset is a multiple of a quarter of an hour since 1972.
QUARTER_MS: Final = HOUR_MS // 4
_EPOCH: Final = datetime(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Slices:
    """The full slices of one length and segment, in the model's time zone (Monday weeks).

    Attributes
    ----------
    starts_ms : int64 array [S]
        Ascending; slices without a row of the segment are left out.
    is_weekend : bool array [S]
        Saturday or Sunday; always false for weeks and longer.
    rows : int64 array [S]
    groups : int32 array [S, n_groups]
        Values by PSI group, all features side by side.
    missing, type_error : int32 arrays [S, features]
        Rows whose value is absent, null or NaN; of the wrong type.
    unseen : int32 array [S, features]
        Values that no other slice of the reference knows.
    out_of_range : int32 array [S, features]
        Values outside the range of all other slices, at the grid's resolution.
    """

    starts_ms: NDArray[np.int64]
    is_weekend: NDArray[np.bool_]
    rows: NDArray[np.int64]
    groups: NDArray[np.int32]
    missing: NDArray[np.int32]
    type_error: NDArray[np.int32]
    unseen: NDArray[np.int32]
    out_of_range: NDArray[np.int32]


# Name and stored type of each array of `Slices`.
SLICE_ARRAYS: Final = {
    "starts_ms": "<i8",
    "is_weekend": "|b1",
    "rows": "<i8",
    "groups": "<i4",
    "missing": "<i4",
    "type_error": "<i4",
    "unseen": "<i4",
    "out_of_range": "<i4",
}


def slice_array(slices: Slices, name: str) -> NDArray[Any]:
    """One of `SLICE_ARRAYS`, in its stored type."""
    array: NDArray[Any] = np.ascontiguousarray(getattr(slices, name), dtype=SLICE_ARRAYS[name])
    return array


def offsets_ms(times_ms: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    """Offset of the zone from UTC at each instant."""

    def at(ms: int) -> int:
        moment = (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=UTC)
        return _ms(moment.astimezone(zone).utcoffset())

    return _by_quarter(times_ms, at)


def local_to_utc_ms(local_ms: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    """Instants of wall-clock times (ms since 1970 on the zone's clock).

    Where the clock is put back the first of the two is meant; a time that is skipped is
    read with the offset before the skip.
    """

    def at(ms: int) -> int:
        return _ms((_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=zone).utcoffset())

    return local_ms - _by_quarter(local_ms, at)


def _ms(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset.total_seconds() * 1000)


def _by_quarter(times_ms: NDArray[np.int64], at: Callable[[int], int]) -> NDArray[np.int64]:
    """`at` of each time, asked once a day where the day's both ends agree."""
    days, day_of = np.unique(times_ms // DAY_MS, return_inverse=True)
    at_start = np.array([at(day * DAY_MS) for day in days.tolist()], np.int64)
    at_end = np.array([at((day + 1) * DAY_MS - 1) for day in days.tolist()], np.int64)
    out = at_start[day_of]
    changing = (at_start != at_end)[day_of]
    if changing.any():
        quarters, quarter_of = np.unique(times_ms[changing] // QUARTER_MS, return_inverse=True)
        asked = np.array([at(quarter * QUARTER_MS) for quarter in quarters.tolist()], np.int64)
        out[changing] = asked[quarter_of]
    return out


@dataclass(frozen=True)
class Cut:
    """The slices of one length over all rows that have a time.

    Attributes
    ----------
    starts_ms, ends_ms : int64 arrays [slices]
    is_weekend : bool array [slices]
    is_full : bool array [slices]
    slice_of : int64 array [rows]
        -1 where a row has no time.
    """

    starts_ms: NDArray[np.int64]
    ends_ms: NDArray[np.int64]
    is_weekend: NDArray[np.bool_]
    is_full: NDArray[np.bool_]
    slice_of: NDArray[np.int64]


def is_weekend(times_ms: NDArray[np.int64], zone: tzinfo) -> NDArray[np.bool_]:
    """Which instants fall on a local Saturday or Sunday."""
    return _weekday((times_ms + offsets_ms(times_ms, zone)) // DAY_MS) >= 5


def _weekday(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 = Monday; day 0 was a Thursday."""
    return (days + 3) % 7


def cut(
    times_ms: NDArray[np.int64],
    has_time: NDArray[np.bool_],
    zone: tzinfo,
    excluded: Sequence[tuple[int, int]] = (),
) -> dict[str, Cut]:
    """Cut the rows by hour, local day, Monday week and 28 days.

    A slice at the edge of the data is full only when it begins and ends like the slices
    inside do: its first event no later after the slice's start than the latest of theirs,
    its last event no earlier before the slice's end. A slice of which a part is excluded is
    not full.

    Parameters
    ----------
    excluded : sequence of pairs
        Intervals [start_ms, end_ms) whose rows are not among these.
    """
    times = times_ms[has_time]
    local = times + offsets_ms(times, zone)
    day = local // DAY_MS
    hour_starts, hour_ends = _clock_hours(times, zone)
    cuts = {}
    for length in LENGTHS:
        key = hour_starts if length == "hour" else first_day_of(day, length)
        found, first, which = np.unique(key, return_index=True, return_inverse=True)
        if length == "hour":
            starts, ends = found, hour_ends[first]
            days = (found + offsets_ms(found, zone)) // DAY_MS
        else:
            starts = local_to_utc_ms(found * DAY_MS, zone)
            ends = local_to_utc_ms((found + DAYS[length]) * DAY_MS, zone)
            days = found
        is_short = length in ("hour", "day")
        weekend = _weekday(days) >= 5 if is_short else np.zeros(len(found), np.bool_)
        slice_of = np.full(len(times_ms), -1, np.int64)
        slice_of[has_time] = which
        whole = np.ones(len(starts), np.bool_)
        for start_ms, end_ms in excluded:
            whole &= (ends <= start_ms) | (starts >= end_ms)
        full = _full(times, which, starts, ends, whole)
        cuts[length] = Cut(starts, ends, weekend, full, slice_of)
    return cuts


def _clock_hours(
    times: NDArray[np.int64], zone: tzinfo
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of the wall clock's hour that holds each instant.

    Where the clock is moved by a part of an hour the hour is cut there: hours never overlap.
    """
    offset = offsets_ms(times, zone)
    starts = times - (times + offset) % HOUR_MS
    ends = starts + HOUR_MS
    moved = np.flatnonzero(
        (offsets_ms(starts, zone) != offset) | (offsets_ms(ends - 1, zone) != offset)
    )
    if len(moved):
        begins, at = starts[moved], times[moved]
        first, last = begins.copy(), ends[moved]
        for quarter in (begins + k * QUARTER_MS for k in range(HOUR_MS // QUARTER_MS)):
            other = offsets_ms(quarter, zone) != offset[moved]
            before, after = other & (quarter <= at), other & (quarter > at)
            first[before] = quarter[before] + QUARTER_MS
            last[after] = np.minimum(last[after], quarter[after])
        starts[moved], ends[moved] = first, last
    return starts, ends


def _full(
    times: NDArray[np.int64],
    which: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    whole: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    n = len(starts)
    full = whole.copy()
    inside = np.flatnonzero(whole[1:-1]) + 1
    if not len(inside):
        # Nothing inside to compare the edges with.
        return full & (np.arange(n) > 0) & (np.arange(n) < n - 1)
    first, last = ends.copy(), starts.copy()
    np.minimum.at(first, which, times)
    np.maximum.at(last, which, times)
    late, early = first - starts, ends - last
    for edge in (0, n - 1):
        begins_well = late[edge] <= late[inside].max()
        full[edge] &= begins_well and early[edge] <= early[inside].max()
    return full
