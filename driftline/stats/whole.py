"""A reference whose bins are a sample's, and whose counts are of a whole table.

What a million rows cannot tell apart a billion do not need bins for; but how many rows there are,
and how they wobble from window to window, is learnt of all of them. Rows are counted elsewhere,
by pane: this module adds panes up to what `build_reference` counts of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference
from driftline.stats import slicing
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import LONGEST, MIN_SLICES
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import ALL, BUCKETS, MIN_ROWS, Reference, zone_of
from driftline.stats.slicing import Cut, Slices

_MISSING = [COUNTERS.index(name) for name in ("absent", "null", "nan")]
_TYPE_ERROR = COUNTERS.index("type_error")


def count_whole(
    sample: Reference,
    panes: Mapping[tuple[int | None, str], Profile],
    times_ms: tuple[int, int] | None,
    warnings: Sequence[str] = (),
) -> Reference:
    """Return a sample's reference with the counts of all rows in the place of its own.

    Its grids, dimensions and zone are the sample's. In its slices, values that the sample does
    not know are unseen, and those outside the sample's range out of range. A slice at
    either end is left out unless it is whole beyond doubt.

    Parameters
    ----------
    panes
        (Start of the pane in epoch ms, segment) -> profile on the sample's gridset; the start is
        None where rows have no times.
    times_ms
        Time of the first and last row; None without times.
    warnings
        What else there is to know.

    Raises
    ------
    InvalidReference
        There is no row.
    """
    gridset = sample.gridset
    totals: dict[str, Profile] = {}
    for (_, segment), profile in _each(panes):
        totals[segment] = profile if segment not in totals else totals[segment] + profile
    if ALL not in totals:
        raise InvalidReference("the table has no row that can be counted")
    rows = totals[ALL].rows
    segments = [
        segment
        for segment in sorted(totals, key=lambda name: (name != ALL, name))
        if segment == ALL or totals[segment].rows >= MIN_ROWS
    ]
    buckets: dict[str, dict[str, Profile]] = {}
    slices: dict[str, dict[str, Slices]] = {}
    if times_ms is not None:
        zone = zone_of(sample.timezone)
        starts = np.unique([start for start, _ in panes if start is not None])
        # A pane is told by its start, the first and the last by what is in them: whether the
        # slices at the ends are whole hangs on it.
        times = np.append(starts, times_ms[1])
        times[0] = times_ms[0]
        cuts = slicing.cut(times, np.ones(len(times), np.bool_), zone, sample.excluded)
        if cuts[LONGEST].is_full.sum() < MIN_SLICES:
            del cuts[LONGEST]
        weekend = slicing.is_weekend(starts, zone)
        counters = {name: _Slices(gridset, cuts) for name in segments}
        for segment in segments:
            buckets[segment] = {name: Profile.empty(gridset) for name in BUCKETS}
        place_of = {start: place for place, start in enumerate(starts.tolist())}
        for (start, segment), profile in _each(panes):
            if start is None or segment not in counters:
                continue
            place = place_of[start]
            counters[segment].add(place, profile)
            bucket = BUCKETS[int(weekend[place])]
            buckets[segment][bucket] = buckets[segment][bucket] + profile
        slices = {name: counter.slices() for name, counter in counters.items()}
    first_ms, last_ms = (None, None) if times_ms is None else times_ms
    return replace(
        sample,
        profiles={
            name: totals[name] if name == ALL else _without_sums(totals[name]) for name in segments
        },
        buckets=buckets,
        slices=slices,
        first_ms=first_ms,
        last_ms=last_ms,
        rows=rows,
        warnings=(*sample.warnings, *warnings),
    )


def _each(
    panes: Mapping[tuple[int | None, str], Profile],
) -> Iterable[tuple[tuple[int | None, str], Profile]]:
    """One after the other: all of them decoded at once may be more than fits."""
    return ((key, panes[key]) for key in panes)


def _without_sums(profile: Profile) -> Profile:
    return Profile(profile.counts, None, profile.low, profile.high, profile.gridset)


class _Slices:
    """The slices of one segment, of all lengths."""

    def __init__(self, gridset: Gridset, cuts: Mapping[str, Cut]) -> None:
        self._gridset, self._cuts = gridset, cuts
        n_features = len(gridset.features)
        self._rows = {length: np.zeros(len(c.starts_ms), np.int64) for length, c in cuts.items()}
        self._groups = {
            length: np.zeros((len(c.starts_ms), gridset.n_groups), np.int32)
            for length, c in cuts.items()
        }
        self._others = {
            length: np.zeros((4, len(c.starts_ms), n_features), np.int32)
            for length, c in cuts.items()
        }

    def add(self, place: int, profile: Profile) -> None:
        """Count a pane, given its place among all panes in order of time."""
        counts, grids = profile.counts, self._gridset
        groups = grids.sum_groups(counts)
        others = np.stack(
            [
                counts[grids.counters[:, _MISSING]].sum(axis=1),
                counts[grids.counters[:, _TYPE_ERROR]],
                _at(counts, grids.unseen),
                _at(counts, grids.under) + _at(counts, grids.over),
            ]
        )
        for length, cut in self._cuts.items():
            which = cut.slice_of[place]
            self._rows[length][which] += profile.rows
            self._groups[length][which] += groups.astype(np.int32)
            self._others[length][:, which] += others.astype(np.int32)

    def slices(self) -> dict[str, Slices]:
        """Return the full slices that have rows, by length."""
        made = {}
        for length, cut in self._cuts.items():
            kept = np.flatnonzero(cut.is_full & (self._rows[length] > 0))
            missing, type_error, unseen, out_of_range = self._others[length][:, kept]
            made[length] = Slices(
                starts_ms=cut.starts_ms[kept],
                is_weekend=cut.is_weekend[kept],
                rows=self._rows[length][kept],
                groups=self._groups[length][kept],
                missing=missing,
                type_error=type_error,
                unseen=unseen,
                out_of_range=out_of_range,
            )
        return made


def _at(counts: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts at these places; 0 where there is none (-1)."""
    return np.where(places < 0, 0, counts[places])
