"""Seasons: which of the reference's windows a window is compared with.

A feature that moves with the hour of the day, or with the weekend, is compared with the same
hours or days of the reference: a daily cycle of .6 sigma is no drift. Whether a feature has a
season is learnt (`driftline.stats.calibration`); this module knows only the buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distance import MIN_ROWS_PSI
from driftline.stats.groups import per_feature
from driftline.stats.lengths import DAY_MS, HOUR_MS, MIN_SLICES
from driftline.stats.reference import BUCKETS, Reference
from driftline.stats.slicing import is_weekend, offsets_ms

Ints = NDArray[np.int64]
HOURS: Final = 24


class Season(IntEnum):
    """How finely windows are told apart; the numbers are stored."""

    NONE = 0
    WEEKEND = 1
    HOUR = 2
    HOUR_WEEKEND = 3


# Buckets of each scheme, and what a length may have besides none, the coarser first.
N_BUCKETS: Final = {
    Season.NONE: 1,
    Season.WEEKEND: 2,
    Season.HOUR: HOURS,
    Season.HOUR_WEEKEND: 2 * HOURS,
}
SCHEMES: Final = {"hour": (Season.HOUR, Season.HOUR_WEEKEND), "day": (Season.WEEKEND,)}


@dataclass(frozen=True)
class When:
    """Where windows lie in the day and in the week of the model's zone.

    Attributes
    ----------
    hour : int8 array [W]
        Of the wall clock at the window's start, 0 to 23; it matters for hours alone.
    is_weekend : bool array [W]
    """

    hour: NDArray[np.int8]
    is_weekend: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hour)


def when(starts_ms: Ints, timezone: str) -> When:
    """Return where windows that start at these instants [W] lie, in an IANA zone.

    Examples
    --------
    >>> at = when(np.array([1_360_360_800_000]), "America/New_York")
    >>> at.hour.tolist(), at.is_weekend.tolist()
    ([17], [False])
    """
    zone = ZoneInfo(timezone)
    starts = np.asarray(starts_ms, np.int64)
    hour = (starts + offsets_ms(starts, zone)) % DAY_MS // HOUR_MS
    return When(hour.astype(np.int8), is_weekend(starts, zone))


def bucket(season: int, at: When) -> Ints:
    """Return the bucket of each window [W], from 0.

    Weekends are 1 (and weekdays 0) under `WEEKEND`; hours count from midnight, those of
    weekends from 24.
    """
    if season == Season.WEEKEND:
        return at.is_weekend.astype(np.int64)
    if season == Season.HOUR:
        return at.hour.astype(np.int64)
    if season == Season.HOUR_WEEKEND:
        return at.hour + HOURS * at.is_weekend.astype(np.int64)
    return np.zeros(len(at), np.int64)


def bucket_groups(reference: Reference, segment: str, length: str, season: int) -> Ints:
    """Return the reference's counts by PSI group in each bucket [buckets, n_groups].

    Days have profiles of their own; hours are the sum of their full slices.
    """
    return _buckets(reference, segment, length, season)[0]


def judged_buckets(
    reference: Reference, segment: str, length: str, season: int
) -> NDArray[np.bool_]:
    """Return in which buckets a feature is judged [buckets, F].

    Where at least eight slices have the values that PSI needs; thin night hours have not.
    """
    return _buckets(reference, segment, length, season)[1]


@lru_cache(maxsize=64)
def _buckets(
    reference: Reference, segment: str, length: str, season: int
) -> tuple[Ints, NDArray[np.bool_]]:
    grids = reference.gridset
    slices = reference.slices[segment][length]
    of_slice = bucket(season, when(slices.starts_ms, reference.timezone))
    values = per_feature(grids, slices.groups.astype(np.int64))
    n = N_BUCKETS[Season(season)]
    groups = np.zeros((n, grids.n_groups), np.int64)
    judged = np.zeros((n, len(grids.features)), np.bool_)
    for place in range(n):
        here = of_slice == place
        groups[place] = slices.groups[here].sum(axis=0, dtype=np.int64)
        judged[place] = (values[here] >= MIN_ROWS_PSI).sum(axis=0) >= MIN_SLICES
    if season == Season.WEEKEND:
        # All rows, those of the days that are not full, too.
        pair = reference.buckets[segment]
        groups = grids.sum_groups(np.stack([pair[name].counts for name in BUCKETS]))
    elif season == Season.NONE:
        groups = grids.sum_groups(reference.profiles[segment].counts[None, :])
    return groups, judged
