"""What windows are judged against: the reference's side of the rule, with a row for each window.

Windows of many segments are judged in one batch of array operations, each against the counts of
its own segment and by what is known of that segment's wobble. Where all windows are of one
segment there is a single row, and arrays broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import RATES, Calibration, Floats, Ints, Observed, observe
from driftline.stats.groups import number_bins
from driftline.stats.novelty import expected, expecting
from driftline.stats.reference import Reference
from driftline.stats.season import Season, When, bucket, bucket_groups, judged_buckets
from driftline.stats.side_by_side import Sample

Bools = NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Seasonal:
    """What the windows of one season are compared with, by base and bucket.

    Attributes
    ----------
    has
        [bases, F] Whether a feature has this season.
    groups
        [bases, buckets, groups] The reference's counts.
    judged
        [bases, buckets, F] Whether the reference knows enough of a bucket.
    """

    has: Bools
    groups: Ints
    judged: Bools


class Baseline:
    """Segments of one reference, and what a length knows of each, for windows [W].

    Every array that is called [rows, ...] has a row for each window, or a single one where all
    windows have the same base.

    Attributes
    ----------
    segments
        [bases] Segment of each base: a segment and its calibration.
    of
        [W] The base of each window; None where there is only one base.
    own
        The reference itself, as the rule sees it: each [rows, ...].
    """

    def __init__(
        self,
        reference: Reference,
        length: str,
        segment: str | Sequence[str],
        calibration: Calibration | Sequence[Calibration | None] | None,
    ) -> None:
        """`segment` and `calibration` are of all windows, or sequences [W] of one for each.

        Raises
        ------
        ValueError
            The sequences differ in length, or what is known differs in kind: a collecting
            length, one that is judged without knowing any wobble, and one that knows it are
            not judged together.
        """
        self.reference = reference
        self.length = length
        if isinstance(segment, str):
            if isinstance(calibration, Sequence):
                raise ValueError("one segment has one calibration")
            self.segments: tuple[str, ...] = (segment,)
            self._calibrations: tuple[Calibration | None, ...] = (calibration,)
            self.of: NDArray[np.intp] | None = None
        else:
            if not isinstance(calibration, Sequence) or len(calibration) != len(segment):
                raise ValueError("each window has a segment and a calibration")
            self._take_bases(segment, calibration)
        kinds = {None if found is None else found.source == "none" for found in self._calibrations}
        if len(kinds) > 1:
            raise ValueError("windows are judged together by calibrations of one kind")
        # None: collecting. Else whether no wobble is known.
        self._kind = kinds.pop()
        own = [observed(reference, name) for name in self.segments]
        self.own = Observed(*(self.rows(np.concatenate(part)) for part in zip(*own, strict=True)))
        self.groups = self.rows(
            np.concatenate([_expected_groups(reference, name, length) for name in self.segments])
        )

    def _take_bases(
        self, segments: Sequence[str], calibrations: Sequence[Calibration | None]
    ) -> None:
        if not segments:
            raise ValueError("there is no window")
        places: dict[tuple[str, int], int] = {}
        of = [
            places.setdefault((name, id(known)), len(places))
            for name, known in zip(segments, calibrations, strict=True)
        ]
        firsts = np.unique(of, return_index=True)[1].tolist()
        self.segments = tuple(segments[at] for at in firsts)
        self._calibrations = tuple(calibrations[at] for at in firsts)
        self.of = np.array(of, np.intp) if len(places) > 1 else None

    @property
    def is_collecting(self) -> bool:
        """Whether nothing is known yet: windows are shown, not judged."""
        return self._kind is None

    @property
    def is_unknown(self) -> bool:
        """Whether windows are judged without knowing any wobble: nothing is ever critical."""
        return self._kind is True

    def rows(self, of_bases: NDArray[Kind]) -> NDArray[Kind]:
        """Return [bases, ...] as [rows, ...]."""
        return of_bases if self.of is None else of_bases[self.of]

    def numbers(self, windows: NDArray[np.intp]) -> Sample:
        """Return the numeric features' side of some windows' KS, [1 or n, places of their bins].

        A profile is large: they are put side by side for few windows at a time.
        """
        bases = [0] if self.of is None else self.of[windows].tolist()
        parts = [_numbers(self.reference, self.segments[base]) for base in bases]
        if len(parts) == 1:
            return parts[0]
        return Sample(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def learnt(self, part: Callable[[Calibration], Floats]) -> Floats:
        """Return a part [F] of what is known as [rows, F]; nothing may be collecting."""
        return self.rows(np.stack([part(known) for known in self._learnt()]))

    def _learnt(self) -> list[Calibration]:
        return [known for known in self._calibrations if known is not None]

    @cached_property
    def tau2(self) -> Floats:
        """[rows, F] The variance of the wobble, 0 while collecting."""
        if self.is_collecting:
            return np.zeros((1, len(self.reference.gridset.features)))
        return self.learnt(lambda known: known.tau2)

    @cached_property
    def up(self) -> dict[str, Floats]:
        """{rate: [rows, F]} The tolerances above."""
        return self._by_rate([known.up for known in self._learnt()])

    @cached_property
    def down(self) -> dict[str, Floats]:
        """{rate: [rows, F]} The tolerances below."""
        return self._by_rate([known.down for known in self._learnt()])

    def _by_rate(self, found: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
        return {rate: self.rows(np.stack([each[rate] for each in found])) for rate in RATES}

    @cached_property
    def _seasons(self) -> dict[int, Seasonal]:
        if self.is_collecting:
            return {}
        of_bases = np.stack([known.season for known in self._learnt()])
        return {
            season: self._seasonal(season, of_bases == season)
            for season in np.unique(of_bases).tolist()
            if season != Season.NONE
        }

    def _seasonal(self, season: int, has: Bools) -> Seasonal:
        """Only bases that have a season need its buckets, and the slices they are made of."""
        reference, grids = self.reference, self.reference.gridset
        groups: Ints | None = None
        judged: Bools | None = None
        for base in np.flatnonzero(has.any(axis=1)).tolist():
            place = reference, self.segments[base], self.length, season
            novel = expected(reference, self.segments[base], self.length)
            found = expecting(grids, bucket_groups(*place), novel)
            enough = judged_buckets(*place)
            if groups is None or judged is None:
                groups = np.zeros((len(has), *found.shape), np.int64)
                judged = np.zeros((len(has), *enough.shape), np.bool_)
            groups[base], judged[base] = found, enough
        assert groups is not None and judged is not None
        return Seasonal(has, groups, judged)

    def _at(self, season: int, at: When) -> tuple[NDArray[np.intp] | int, Ints]:
        """Return the base and the bucket of each window."""
        return (0 if self.of is None else self.of), bucket(season, at)

    def compared(self, at: When) -> Ints:
        """Return the reference's groups that each window is compared with [W, groups]."""
        r: Ints = np.broadcast_to(self.groups, (len(at), self.groups.shape[1]))
        for season, known in self._seasons.items():
            has = np.repeat(self.rows(known.has), self.reference.gridset.B, axis=1)
            r = np.where(has, known.groups[self._at(season, at)], r)
        return r

    def unknown_hours(self, at: When) -> Bools:
        """Return where a feature is in an hour or day of which the reference knows too little.

        [W, F]
        """
        out = np.zeros((len(at), len(self.reference.gridset.features)), np.bool_)
        for season, known in self._seasons.items():
            out |= self.rows(known.has) & ~known.judged[self._at(season, at)]
        return out


@lru_cache(maxsize=512)
def observed(reference: Reference, segment: str) -> Observed:
    """The reference's own rows as the rule sees them, each [1, ...]."""
    return observe(reference, reference.profiles[segment].counts[None, :])


# 400 KB each, of a hundred features.
@lru_cache(maxsize=64)
def _numbers(reference: Reference, segment: str) -> Sample:
    """The bins of a segment's numeric features as KS compares them, each [1, places]."""
    x = number_bins(reference.gridset)
    assert x is not None
    return x.bins.sample(reference.profiles[segment].counts[None, x.places])


@lru_cache(maxsize=512)
def _expected_groups(reference: Reference, segment: str, length: str) -> Ints:
    """What a usual window of a length is compared with [1, groups].

    PSI of an open vocabulary is that of more or fewer new values than usual.
    """
    novel = expected(reference, segment, length)
    return expecting(reference.gridset, observed(reference, segment).groups, novel)
