"""A feature through time: one statistic a window, against a limit that moves with its rows.

Two steps: `history.history` reads everything that was judged of the feature in a scope, and
`series_of` makes one statistic of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from sqlalchemy.engine import Connection

from driftline.stats.lengths import LENGTHS
from driftline.stats.rule import FixedLimit
from monitor.storage.rows import FeatureWindow, Latched
from monitor.views.history import (
    History,
    columns_of,
    fixed_in,
    history,
    holds,
    measured,
    standing_statistic,
)
from monitor.views.scope import Scope
from monitor.views.statistics import numbers, usual_of
from monitor.windows.calendar import NOMINAL_MS

# More than a chart has pixels for.
MAX_POINTS: Final = 1_500
# A pause of more than so many windows breaks the line: nothing is known of it. Hours of a
# quiet model come and go, a day that is not there is missing.
_PAUSE: Final = {**dict.fromkeys(LENGTHS, 0), "hour": 3}


@dataclass(frozen=True, slots=True)
class Point:
    """One statistic of one window.

    `low` and `high` bound it: 99.9 % sure that it is above `low` (PSI and rates that rose;
    `high` is then the value, and the other way round for a rate that fell), or the certified
    interval (KS, Wasserstein, sd). `limit` is None where nothing was held against it.
    `is_alarming` says that after this window it had been over its limit twice in three.
    """

    start_ms: int
    end_ms: int
    rows: int
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    critical: float | None
    verdict: str | None
    is_over: bool
    is_alarming: bool
    revision: int
    closed_by: str
    incomplete: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """Windows that one reference judged in a row.

    Attributes
    ----------
    usual
        The same rate, mean or standard deviation of the reference; None for distances.
    pauses
        Places of points before which nothing was judged for long.
    """

    version: str
    reference_digest: str
    usual: float | None
    points: tuple[Point, ...]
    pauses: tuple[int, ...]


@dataclass(frozen=True)
class Series:
    """One statistic of a feature over a range.

    Attributes
    ----------
    statistics
        Those that can be asked for.
    standing
        The one that is shown when none is asked for: what fired, else the worst evidence.
    is_thinned
        Of each pixel's windows only the lowest, the highest and the alarming ones are there.
    """

    feature: str
    statistic: str
    statistics: tuple[str, ...]
    standing: str
    runs: tuple[Run, ...]
    beside: tuple[str, ...]
    n_windows: int
    is_thinned: bool

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, by start."""
        return tuple(point for run in self.runs for point in run.points)

    @property
    def is_blind(self) -> bool:
        """Whether windows had the rows for PSI, and none of them could have shown a drift."""
        known = [point for point in self.points if point.value is not None]
        return (
            self.statistic == "psi"
            and any(point.verdict == "blind" for point in known)
            and all(point.limit is None for point in known)
        )


def series(conn: Connection, scope: Scope, feature: str, stat: str | None = None) -> Series:
    """Return a statistic of a feature over the scope's range (`history`, then `series_of`).

    Raises
    ------
    NoSuch
        The version's reference has no such feature.
    """
    found = history(conn, scope, feature)
    return series_of(measured(conn, found, columns_of(found, stat)), stat)


def series_of(history: History, stat: str | None = None, *, at_most: int = MAX_POINTS) -> Series:
    """Return one statistic of what was read; what the feature does not have is the standing one."""
    standing = standing_statistic(history)
    statistic = stat if stat in history.statistics else standing
    usual = {
        digest: usual_of(reference, history.scope.segment, history.feature, statistic)
        for digest, reference in history.references.items()
    }
    latches: dict[int, list[Latched]] = {}
    for latch in history.latches:
        if latch.statistic == statistic:
            latches.setdefault(latch.version_id, []).append(latch)
    whole: list[tuple[tuple[int, str], list[Point]]] = []
    for window in history.windows:
        key = window.version_id, window.reference_digest
        if not whole or whole[-1][0] != key:
            whole.append((key, []))
        whole[-1][1].append(
            _point(
                window,
                statistic,
                usual.get(window.reference_digest),
                latches.get(window.version_id, ()),
                fixed_in(history, window, statistic),
            )
        )
    n = len(history.windows)
    runs = []
    for (version_id, digest), points in whole:
        kept = thinned(points, max(2, at_most * len(points) // n)) if n > at_most else points
        stretch = ceil(len(points) / len(kept))  # 1 = every window is there
        pause = _PAUSE[history.scope.length] * stretch if stretch == 1 else 3 * stretch
        pause_ms = pause * NOMINAL_MS[history.scope.length]
        runs.append(
            Run(
                version=history.version_names[version_id],
                reference_digest=digest,
                usual=usual.get(digest),
                points=tuple(kept),
                pauses=tuple(
                    place
                    for place in range(1, len(kept))
                    if kept[place].start_ms - kept[place - 1].end_ms > pause_ms
                ),
            )
        )
    return Series(
        feature=history.feature,
        statistic=statistic,
        statistics=history.statistics,
        standing=standing,
        runs=tuple(runs),
        beside=history.beside,
        n_windows=n,
        is_thinned=n > at_most,
    )


def point_of(history: History, window: FeatureWindow, statistic: str) -> Point:
    """Return one window of a series, whether the series draws it or not."""
    reference = history.references.get(window.reference_digest)
    usual = (
        None
        if reference is None
        else usual_of(reference, history.scope.segment, history.feature, statistic)
    )
    latches = [
        latch
        for latch in history.latches
        if (latch.version_id, latch.statistic) == (window.version_id, statistic)
    ]
    fixed = fixed_in(history, window, statistic)
    return _point(window, statistic, usual, latches, fixed)


def thinned(points: Sequence[Point], at_most: int) -> list[Point]:
    """Return at most about `at_most` points: of each bucket the lowest and the highest.

    Windows over the limit or alarming all stay while they are half of `at_most` or fewer; of
    more, the first and the last of each stretch.
    """
    n = len(points)
    if n <= at_most:
        return list(points)
    flagged = np.array([point.is_over or point.is_alarming for point in points])
    kept = np.zeros(n, dtype=bool)
    kept[[0, n - 1]] = True
    if flagged.sum() > at_most // 2:
        padded = np.concatenate([[False], flagged, [False]])
        kept |= flagged & ~(padded[:-2] & padded[2:])
    else:
        kept |= flagged
    values = np.array([np.nan if p.value is None else p.value for p in points], dtype=float)
    buckets = max(1, (at_most - int(kept.sum())) // 2)
    for part in np.array_split(np.arange(n), buckets):
        known = part[~np.isnan(values[part])]
        if not len(known):
            kept[part[0]] = True
            continue
        kept[known[values[known].argmin()]] = True
        kept[known[values[known].argmax()]] = True
    return [points[place] for place in np.flatnonzero(kept).tolist()]


def _point(
    window: FeatureWindow,
    statistic: str,
    usual: float | None,
    latches: Sequence[Latched],
    fixed: FixedLimit | None,
) -> Point:
    found = window.found
    value = low = high = limit = critical = None
    is_over = False
    if found is not None:
        value, low, high, limit, critical = numbers(found, window.rows, statistic, usual, fixed)
        is_over = statistic in found["exceeds"].split(",")
    return Point(
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        rows=window.rows,
        value=value,
        low=low,
        high=high,
        limit=limit,
        critical=critical,
        verdict=None if found is None else str(found["verdict"]),
        is_over=is_over,
        is_alarming=any(holds(latch, window) for latch in latches),
        revision=window.revision,
        closed_by=window.closed_by,
        incomplete=window.incomplete,
    )
