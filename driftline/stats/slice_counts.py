"""Counting a reference's slices, a feature at a time.

Hours lie in days, days in weeks: rows are counted once, by the finest pieces that every
length is made of, and the pieces are added up. What is outside of all other slices is few
values at the ends of the range, so only the slice that holds an end is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.gridset import Gridset
from driftline.stats.profile import COUNTERS
from driftline.stats.slicing import Cut, Slices

_Ints = NDArray[np.integer[Any]]

_MISSING: Final = [COUNTERS.index(name) for name in ("absent", "null", "nan")]
_TYPE_ERROR: Final = COUNTERS.index("type_error")
_OUTSIDE: Final = ("unseen", "out_of_range")
_NO_CELL: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Segment:
    """A segment's rows, and their counts by piece.

    Attributes
    ----------
    rows : intp array, or None
        None is all rows.
    piece : int64 array
        The piece of each of its rows, plus one: 0 has no time.
    """

    rows: NDArray[np.intp] | None
    piece: NDArray[np.int64]
    is_member: NDArray[np.bool_]
    n_rows: NDArray[np.int64]
    groups: NDArray[np.int32]
    missing: NDArray[np.int32]
    type_error: NDArray[np.int32]
    # By length, [slices, features].
    unseen: dict[str, NDArray[np.int32]]
    out_of_range: dict[str, NDArray[np.int32]]


class SliceCounter:
    """Counts the slices of all lengths and segments; features are added one by one.

    Parameters
    ----------
    cuts : mapping
        Length -> its cut of the rows; which rows have a time is the same in all.
    members : mapping
        Segment -> bool array [rows].
    """

    def __init__(
        self, gridset: Gridset, cuts: Mapping[str, Cut], members: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        self._gridset, self._cuts = gridset, cuts
        piece_of = _pieces(cuts)
        self._n = n = int(piece_of.max(initial=-1)) + 1
        # Slice of each piece, plus one; row 0 is what has no time.
        self._slice_of = {length: _parents(piece_of, cut, n) for length, cut in cuts.items()}
        self._piece = piece_of + 1
        is_sorted = bool((piece_of[1:] >= piece_of[:-1]).all())
        self._order = None if is_sorted else np.argsort(piece_of, kind="stable")
        self._ordered = self._sorted(self._piece)
        self._starts = np.flatnonzero(np.diff(self._ordered, prepend=-1))
        self._present = self._ordered[self._starts]
        n_features = len(gridset.features)
        self._segments = {}
        for segment, is_member in members.items():
            rows = None if is_member.all() else np.flatnonzero(is_member)
            piece = self._piece if rows is None else self._piece[rows]
            tables = (
                {
                    length: np.zeros((len(cut.starts_ms), n_features), np.int32)
                    for length, cut in cuts.items()
                }
                for _ in _OUTSIDE
            )
            self._segments[segment] = _Segment(
                rows,
                piece,
                is_member,
                np.bincount(piece, minlength=n + 1),
                np.zeros((n + 1, gridset.n_groups), np.int32),
                np.zeros((n + 1, n_features), np.int32),
                np.zeros((n + 1, n_features), np.int32),
                *tables,
            )

    def add(self, f: int, places: _Ints, told_apart: _Ints | None) -> None:
        """Count a feature.

        Parameters
        ----------
        places : integer array [rows]
            Of each row in the feature's span.
        told_apart : integer array [rows], or None
            What unseen and out of range are told from: the cell of a number, the number of a
            category; -1 where there is no value.
        """
        self._count_groups(f, places)
        n_bins = self._gridset.features[f].n_bins
        rows = (places >= n_bins).nonzero()[0]
        if len(rows):
            counter = places[rows] - n_bins
            for name, which in (
                ("missing", np.isin(counter, _MISSING)),
                ("type_error", counter == _TYPE_ERROR),
            ):
                for segment in self._segments.values():
                    here = rows[which & segment.is_member[rows]]
                    counted = np.bincount(self._piece[here], minlength=self._n + 1)
                    getattr(segment, name)[:, f] = counted
        if told_apart is None or not len(told_apart):
            return
        is_numeric = self._gridset.features[f].kind == "numeric"
        name = "out_of_range" if is_numeric else "unseen"
        outside = self._out_of_range(told_apart) if is_numeric else self._unseen(told_apart)
        for length, found in outside.items():
            slice_of = self._cuts[length].slice_of
            for segment in self._segments.values():
                here = slice_of[found[segment.is_member[found]]]
                table = getattr(segment, name)[length]
                table[:, f] = np.bincount(here[here >= 0], minlength=len(table))

    def _count_groups(self, f: int, places: _Ints) -> None:
        """Values by piece and PSI group."""
        span = self._gridset.groups[f]
        width = span.stop - span.start
        if not width:
            return
        # What is in no group has a column of its own, or it would have to be picked out.
        own = self._gridset.group_of[self._gridset.span(f)] - span.start
        group = np.where(own < 0, width, own).astype(np.int64).take(places)
        for segment in self._segments.values():
            key = segment.piece * (width + 1)
            key += group if segment.rows is None else group[segment.rows]
            counted = np.bincount(key, minlength=(self._n + 1) * (width + 1))
            segment.groups[:, span] = counted.reshape(self._n + 1, width + 1)[:, :width]

    def _out_of_range(self, cells: _Ints) -> dict[str, NDArray[np.intp]]:
        """Length -> rows whose cell is outside the range of all other slices.

        On the frozen grid there would be none: the reference knows its own values. Rows without
        a time are a slice of their own here.
        """
        upper = self._sorted(cells)
        lower = upper
        if upper.min() < 0:
            lower = np.where(upper < 0, _NO_CELL, upper)
        least = np.minimum.reduceat(lower, self._starts)
        most = np.maximum.reduceat(upper, self._starts)
        found = {}
        for length, slice_of in self._slice_of.items():
            which = slice_of[self._present]
            n = len(self._cuts[length].starts_ms) + 1
            below, above = np.full(n, _NO_CELL), np.full(n, -1)
            np.minimum.at(below, which, least)
            np.maximum.at(above, which, most)
            rows = [np.empty(0, np.intp)]
            # A slice that is alone has nothing to be outside of.
            if (above >= 0).sum() > 1:
                for ends, values in ((below, lower), (-above, -upper)):
                    holder = int(ends.argmin())
                    others = np.delete(ends, holder).min()
                    if ends[holder] < others and holder:
                        at = self._places_of(which == holder)
                        rows.append(at[values[at] < others])
            at = np.concatenate(rows)
            found[length] = at if self._order is None else self._order[at]
        return found

    def _places_of(self, is_piece: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Places, in the order of pieces, of the rows of some of the present pieces."""
        ends = np.append(self._starts[1:], len(self._ordered))
        pieces = np.flatnonzero(is_piece)
        spans = zip(self._starts[pieces].tolist(), ends[pieces].tolist(), strict=True)
        return np.concatenate([np.arange(start, end) for start, end in spans])

    def _unseen(self, numbers: _Ints) -> dict[str, NDArray[np.intp]]:
        """Length -> rows whose category no other slice has."""
        size = int(numbers.max()) + 1
        ordered = self._sorted(numbers)
        # Of repeated places the last one assigned stays; -1 goes to the place that is too many.
        first, last = np.full(size + 1, -1), np.full(size + 1, -1)
        first[ordered[::-1]] = self._ordered[::-1]
        last[ordered] = self._ordered
        known = np.flatnonzero(last[:size] >= 0)
        found = {}
        for length, slice_of in self._slice_of.items():
            if (np.diff(slice_of) >= 0).all():
                begins, ends = slice_of[first[known]], slice_of[last[known]]
            else:  # where the clock is put back over midnight a day comes twice
                low, high = np.full(size + 1, _NO_CELL), np.full(size + 1, -1)
                np.minimum.at(low, ordered, slice_of[self._ordered])
                np.maximum.at(high, ordered, slice_of[self._ordered])
                begins, ends = low[known], high[known]
            is_single = np.zeros(size + 1, np.bool_)
            if len(known) and begins.min() < ends.max():
                is_single[known] = begins == ends
            found[length] = (
                is_single[numbers].nonzero()[0] if is_single.any() else np.empty(0, np.intp)
            )
        return found

    def _sorted(self, values: _Ints) -> _Ints:
        return values if self._order is None else values[self._order]

    def slices(self) -> dict[str, dict[str, Slices]]:
        """Segment -> length -> its full slices; those without a row of it are left out.

        To be called once: each segment's counts are let go when its slices are made.
        """
        made: dict[str, dict[str, Slices]] = {}
        for name in list(self._segments):
            segment = self._segments.pop(name)
            made[name] = {}
            for length, cut in self._cuts.items():
                slice_of, n = self._slice_of[length], len(cut.starts_ms)
                rows = _added(segment.n_rows[:, None], slice_of, n)[:, 0]
                keep = (rows > 0) & cut.is_full
                made[name][length] = Slices(
                    starts_ms=cut.starts_ms[keep],
                    is_weekend=cut.is_weekend[keep],
                    rows=rows[keep],
                    groups=_added(segment.groups, slice_of, n)[keep],
                    missing=_added(segment.missing, slice_of, n)[keep],
                    type_error=_added(segment.type_error, slice_of, n)[keep],
                    unseen=segment.unseen[length][keep],
                    out_of_range=segment.out_of_range[length][keep],
                )
        return made


def _pieces(cuts: Mapping[str, Cut]) -> NDArray[np.int64]:
    """The finest piece of time that each row lies in whatever the length; -1 without a time."""
    finest: NDArray[np.int64] | None = None
    for cut in cuts.values():
        if finest is None:
            finest = cut.slice_of
            continue
        n = int(finest.max(initial=-1)) + 1
        if (_parents(finest, cut, n)[finest + 1] == cut.slice_of + 1).all():
            continue
        both = np.where(finest < 0, -1, finest * (len(cut.starts_ms) + 1) + cut.slice_of)
        values, finest = np.unique(both, return_inverse=True)
        finest = finest - int(values[0] < 0)
    assert finest is not None
    return finest


def _parents(piece_of: NDArray[np.int64], cut: Cut, n: int) -> NDArray[np.int64]:
    """Slice of each of n pieces, plus one; the first entry is for no piece."""
    parents = np.zeros(n + 1, np.int64)
    parents[piece_of + 1] = cut.slice_of + 1
    parents[0] = 0
    return parents


def _added(table: NDArray[Any], slice_of: NDArray[np.int64], n: int) -> NDArray[Any]:
    """Rows of pieces added up to n slices; what has no time is left out."""
    order = np.argsort(slice_of, kind="stable")
    which = slice_of[order]
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    if (np.diff(order) != 1).any():
        table = table[order]
    out = np.zeros((n + 1, table.shape[1]), table.dtype)
    if len(starts) == len(table):
        out[which] = table
        return out[1:]
    # Row after row: reduceat along the first axis takes five times as long.
    ends = np.append(starts[1:], len(table))
    for at, start, end in zip(which[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
        np.add.reduce(table[start:end], axis=0, out=out[at])
    return out[1:]
