"""Slices: a reference cut into hours, local days, Monday weeks and 28 days.

What a feature does by itself from window to window is learnt from these. Only full slices
count: a partial first or last day lifted a guard from .022 to .478. This module knows
times and codes; it must not read a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.gridset import Codes, Gridset
from driftline.stats.lengths import DAY_MS, DAYS, HOUR_MS, LENGTHS, first_day_of
from driftline.stats.profile import COUNTERS

# Every zone's offset is a multiple of a quarter of an hour since 1972.
QUARTER_MS: Final = HOUR_MS // 4
_EPOCH: Final = datetime(1970, 1, 1)
_MISSING: Final = [COUNTERS.index(name) for name in ("absent", "null", "nan")]
_TYPE_ERROR: Final = COUNTERS.index("type_error")


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


def cut(times_ms: NDArray[np.int64], has_time: NDArray[np.bool_], zone: tzinfo) -> dict[str, Cut]:
    """Cut the rows by hour, local day, Monday week and 28 days.

    A slice at the edge of the data is full only when it begins and ends like the slices
    inside do: its first event no later after the slice's start than the latest of theirs,
    its last event no earlier before the slice's end.
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
        cuts[length] = Cut(starts, ends, weekend, _full(times, which, starts, ends), slice_of)
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
) -> NDArray[np.bool_]:
    n = len(starts)
    full = np.ones(n, np.bool_)
    if n < 3:
        # Nothing inside to compare the edges with.
        return ~full
    first, last = ends.copy(), starts.copy()
    np.minimum.at(first, which, times)
    np.maximum.at(last, which, times)
    late, early = first - starts, ends - last
    for edge in (0, n - 1):
        full[edge] = late[edge] <= late[1:-1].max() and early[edge] <= early[1:-1].max()
    return full


@dataclass(frozen=True)
class Coded:
    """The reference's rows as the grids see them.

    Attributes
    ----------
    cells : int64 array [features, rows]
        What unseen and out of range are told from: the cell of a number, the number of a
        category; -1 where there is no value in a bin.
    """

    gridset: Gridset
    codes: Codes
    cells: NDArray[np.int64]


def slices_of(coded: Coded, cut_: Cut, members: dict[str, NDArray[np.bool_]]) -> dict[str, Slices]:
    """The full slices of one length, for each segment.

    Parameters
    ----------
    members : dict
        Segment -> bool array [rows].
    """
    gridset = coded.gridset
    n_slices, n_features = len(cut_.starts_ms), len(gridset.features)
    flat = coded.codes.flat
    out_of_range, unseen = _outside_others(coded, cut_)
    # Few values are any of these: their places take less than tables of all rows.
    marks = {
        "missing": np.isin(flat, gridset.counters[:, _MISSING]).nonzero(),
        "type_error": (flat == gridset.counters[:, _TYPE_ERROR][:, None]).nonzero(),
        "unseen": unseen.nonzero(),
        "out_of_range": out_of_range.nonzero(),
    }
    made = {}
    for segment, is_member in members.items():
        use = is_member & (cut_.slice_of >= 0)
        use[use] = cut_.is_full[cut_.slice_of[use]]
        which = cut_.slice_of[use]
        rows = np.bincount(which, minlength=n_slices)
        keep = rows > 0
        marked = {}
        for name, (feature_of, row_of) in marks.items():
            here = use[row_of]
            places = cut_.slice_of[row_of[here]] * n_features + feature_of[here]
            counts = np.bincount(places, minlength=n_slices * n_features)
            marked[name] = counts.reshape(n_slices, n_features)[keep].astype(np.int32)
        made[segment] = Slices(
            starts_ms=cut_.starts_ms[keep],
            is_weekend=cut_.is_weekend[keep],
            rows=rows[keep],
            groups=_groups(coded, use, which, n_slices)[keep],
            **marked,
        )
    return made


def _groups(
    coded: Coded, use: NDArray[np.bool_], which: NDArray[np.int64], n_slices: int
) -> NDArray[np.int32]:
    """Values by slice and PSI group [slices, n_groups] of the rows that are used."""
    gridset = coded.gridset
    table = np.zeros((n_slices, gridset.n_groups), np.int32)
    for codes, span in zip(coded.codes.flat, gridset.groups, strict=True):
        width = span.stop - span.start
        if not width:
            continue
        group = gridset.group_of[codes[use]]
        has_group = group >= 0
        places = which * width + (group - span.start)
        counts = np.bincount(places[has_group], minlength=n_slices * width)
        table[:, span] = counts.reshape(n_slices, width)
    return table


def _outside_others(coded: Coded, cut_: Cut) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which values are outside the range, or the categories, of all rows of other slices.

    On the frozen grid both would be zero: the reference knows its own values. Rows without
    a time are a slice of their own here.
    """
    out_of_range = np.zeros(coded.cells.shape, np.bool_)
    unseen = np.zeros(coded.cells.shape, np.bool_)
    which = cut_.slice_of + 1
    n = len(cut_.starts_ms) + 1
    for f, feature in enumerate(coded.gridset.features):
        if feature.grid is None:
            continue
        cells = coded.cells[f]
        valued = cells >= 0
        here, in_slice = cells[valued], which[valued]
        if not len(here):
            continue
        has_others = bool(in_slice.min() < in_slice.max())
        if feature.kind == "numeric":
            least = np.full(n, np.iinfo(np.int64).max)
            most = np.full(n, -1)
            np.minimum.at(least, in_slice, here)
            np.maximum.at(most, in_slice, here)
            below = here < _least_of_others(least)[in_slice]
            above = here > -_least_of_others(-most)[in_slice]
            # A slice that is alone has nothing to be outside of.
            out_of_range[f, valued] = (below | above) & has_others
        else:
            size = int(here.max()) + 1
            first, last = np.full(size, n), np.full(size, -1)
            np.minimum.at(first, here, in_slice)
            np.maximum.at(last, here, in_slice)
            unseen[f, valued] = (first == last)[here] & has_others
    return out_of_range, unseen


def _least_of_others(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each place, the least of all other places."""
    holder = int(values.argmin())
    others = np.full(len(values), values[holder])
    others[holder] = np.delete(values, holder).min()
    return others
