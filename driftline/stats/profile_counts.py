"""Counting a reference's profiles, a feature at a time: each segment's, and of its buckets.

A feature is coded once and counted for every segment; its codes are let go before the next
one's are made, so that memory does not grow with the number of features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftline.stats.coding import (
    COUNTER_OF_STATE,
    Numbers,
    code_categories,
    code_numbers,
    count_numbers,
)
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import Gridset
from driftline.stats.profile import COUNTERS, Column, Profile, State, Words

_Ints = NDArray[np.integer[Any]]


class ProfileCounter:
    """Counts the profiles of segments and of their buckets.

    Parameters
    ----------
    members : mapping
        Segment -> bool array [rows]; the first is all rows, whose profile has sums.
    bucket : int64 array [rows], or None
        The bucket of each row, from 0; -1 where it has none. None makes no buckets.
    names : sequence of str
        Of the buckets.
    """

    def __init__(
        self,
        gridset: Gridset,
        members: Mapping[str, NDArray[np.bool_]],
        bucket: NDArray[np.int64] | None,
        names: Sequence[str],
    ) -> None:
        self._gridset, self._names = gridset, () if bucket is None else tuple(names)
        # By segment: the rows of each bucket and of none, with a profile for each.
        self._parts: dict[str, list[tuple[NDArray[np.intp] | None, Profile]]] = {}
        for segment, is_member in members.items():
            rows: list[NDArray[np.intp] | None] = []
            if bucket is not None:
                rows = [(is_member & (bucket == i)).nonzero()[0] for i in range(len(names))]
                rows.append((is_member & (bucket < 0)).nonzero()[0])
            else:
                rows.append(None if is_member.all() else is_member.nonzero()[0])
            self._parts[segment] = [(which, Profile.empty(gridset)) for which in rows]
            for which, profile in self._parts[segment]:
                profile.counts[0] = len(is_member) if which is None else len(which)
        self._sums = np.zeros(gridset.size, np.int64)
        self._with_sums = next(iter(members))

    def add(self, f: int, column: Column, rows: int) -> tuple[_Ints, _Ints | None]:
        """Count a feature.

        Returns
        -------
        places, told_apart
            See `SliceCounter.add`.
        """
        grid = self._gridset.features[f].grid
        span = self._gridset.span(f)
        told_apart: _Ints | None = None
        if isinstance(grid, NumericGrid):
            coded = code_numbers(grid, column, rows)
            self._count_numbers(f, grid, coded)
            return coded.places, _cells(grid, coded)
        places: _Ints
        if grid is not None:
            places = code_categories(grid, column, rows)
            if isinstance(column.values, Words):
                told_apart = column.values.codes
                if column.state is not None:
                    told_apart = np.where(column.state == State.VALUE, told_apart, -1)
        else:
            # A value of a presence-only feature has no place of its own.
            places = np.full(rows, len(COUNTERS), np.int64)
            if column.state is not None:
                odd = column.state != State.VALUE
                places[odd] = COUNTER_OF_STATE[column.state[odd]]
        width = span.stop - span.start
        for parts in self._parts.values():
            for which, profile in parts:
                of_part = places if which is None else places[which]
                profile.counts[span] = np.bincount(of_part, minlength=width)[:width]
        return places, told_apart

    def _count_numbers(self, f: int, grid: NumericGrid, coded: Numbers) -> None:
        span = self._gridset.span(f)
        for segment, parts in self._parts.items():
            sums = self._sums[span] if segment == self._with_sums else None
            for which, profile in parts:
                part = coded if which is None else _part(coded, which)
                count_numbers(grid, part, profile.counts[span], sums)
                profile.low[f], profile.high[f] = part.low, part.high

    def profiles(self) -> tuple[dict[str, Profile], dict[str, dict[str, Profile]]]:
        """The segments' profiles, and segment -> bucket -> profile (empty without buckets)."""
        profiles, buckets = {}, {}
        for segment, parts in self._parts.items():
            made = [profile for _, profile in parts]
            total = made[0]
            for profile in made[1:]:
                total = total + profile
            if segment == self._with_sums:
                total = Profile(total.counts, self._sums, total.low, total.high, total.gridset)
            profiles[segment] = total
            if self._names:
                buckets[segment] = dict(zip(self._names, made[:-1], strict=True))
        return profiles, buckets


def _cells(grid: NumericGrid, coded: Numbers) -> NDArray[np.intp]:
    """Cell of each value, -1 where there is none."""
    if not coded.has_gaps:
        return grid.encode(coded.values)
    is_nan = np.isnan(coded.values)
    cells = grid.encode(np.where(is_nan, np.float32(0), coded.values))
    cells[is_nan] = -1
    return cells


def _part(coded: Numbers, rows: NDArray[np.intp]) -> Numbers:
    values = coded.values[rows]
    low, high = np.inf, -np.inf
    is_nan = np.isnan(values) if coded.has_gaps else np.zeros(0, np.bool_)
    if len(values) and not (coded.has_gaps and is_nan.all()):
        low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    return Numbers(coded.places[rows], values, low, high, bool(is_nan.any()))
