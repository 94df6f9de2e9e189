"""What a reference's own counts say, feature by feature: its shape, and what could be seen.

The limits are the rule's (`driftline.stats.evidence`), asked for a window of the usual
size instead of a window that was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import (
    MIN_SLICES,
    Calibration,
    from_reference,
    observe,
    unknown,
)
from driftline.stats.grid import CategoricalGrid, NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import ALL, Reference
from driftline.stats.rule import ANY, FixedLimit, Rule
from driftline.stats.visible import Usual, sight, usual
from monitor.storage.rows import VerdictCount

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of a small picture of a distribution.
COLUMNS: Final = 24
# Categories shown as columns of their own; the rest is one more.
CATEGORIES: Final = 12
# Values beyond these shares are drawn at the edge, so that one outlier does not flatten all.
TAIL: Final = 0.005


class Sees(StrEnum):
    """Whether a length can judge a feature's distribution, and if not, why."""

    JUDGES = "judges"
    BLIND = "blind"
    TOO_FEW = "too_few"
    WAITS = "waits"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Length:
    """What a window length knows of the natural wobble.

    Attributes
    ----------
    source
        "reference", "live" (learnt from its first windows), "none" (judged without, warnings
        only) or "waits" (shown and not judged).
    windows
        Slices or live windows that it learnt from, or has collected so far, of `needed`.
    usual_rows
        Rows of a usual window; None where nothing tells.
    judged
        Windows counted in `verdicts` of the features.
    """

    name: str
    source: str
    windows: int
    needed: int
    usual_rows: int | None
    judged: int
    calibration: Calibration | None = None
    usual: Usual | None = None


@dataclass(frozen=True)
class Limit:
    """What one length sees of one feature, in a window of the usual size.

    Attributes
    ----------
    warning, critical
        Limits of PSI.
    n
        Values of the window.
    verdicts
        Counts the newest judged windows by verdict.
    is_fixed
        Whether PSI's limit is one of the monitor's own.
    smallest_shift
        The smallest shift that would be told, in standard deviations; None where none is, and
        of what is no number.
    smallest_missing
        The smallest rise of the share of missing values that would be told; None where none is.
    """

    length: str
    sees: Sees
    warning: float | None
    critical: float | None
    n: int | None
    verdicts: Mapping[str, int]
    is_fixed: bool = False
    smallest_shift: float | None = None
    smallest_missing: float | None = None


@dataclass(frozen=True)
class FeatureLine:
    """One feature of a reference.

    Attributes
    ----------
    columns
        Heights of a small picture, the largest 1.
    low, high
        The reference's range (numeric).
    levels
        The categories that are known by name, most frequent first, with their shares.
    n_categories
        All that the reference knows.
    resolution, resolution_is
        Numbers that are closer may be counted as one: the width, absolute or relative; or None.
    missing
        Share of rows without a value.
    fixed
        The fixed limits that judge it, its own before those of all features.
    """

    name: str
    kind: str
    is_prediction: bool
    importance: float | None
    n_groups: int
    missing: float
    columns: tuple[float, ...]
    low: float | None
    high: float | None
    levels: tuple[tuple[str, float], ...]
    n_categories: int
    resolution: float | None
    resolution_is: str | None
    limits: tuple[Limit, ...]
    fixed: tuple[FixedLimit, ...] = ()


def lengths_of(
    reference: Reference,
    names: Sequence[str],
    live: Mapping[tuple[str, str], tuple[int, Calibration]],
    counts: Iterable[VerdictCount],
    collected: Mapping[str, int],
) -> tuple[Length, ...]:
    """Return what each length knows, as the evaluator decides it."""
    counts = list(counts)
    taught = {name: from_reference(reference, "all", name) for name in names}
    # Where no length knows any wobble, windows are judged without; else they wait.
    is_known_elsewhere = any(found is not None for found in taught.values())
    lengths = []
    for name in names:
        window = usual(reference, ALL, name) or _usual_of(reference, name, counts)
        calibration = taught[name]
        source, windows = "reference", 0
        if calibration is not None:
            windows = calibration.windows
        elif ("all", name) in live:
            calibration = live["all", name][1]
            source, windows = "live", calibration.windows
        else:
            calibration = None if is_known_elsewhere else unknown(reference)
            source, windows = "waits" if is_known_elsewhere else "none", collected.get(name, 0)
        judged: dict[str, int] = {}
        for count in counts:
            if count.length == name:
                judged[count.feature] = judged.get(count.feature, 0) + count.windows
        lengths.append(
            Length(
                name,
                source,
                windows,
                MIN_SLICES,
                None if window is None else window.rows,
                max(judged.values(), default=0),
                calibration,
                window,
            )
        )
    return tuple(lengths)


def features_of(
    reference: Reference, lengths: Sequence[Length], counts: Iterable[VerdictCount], rule: Rule
) -> tuple[FeatureLine, ...]:
    """Return one line for each feature, the prediction's parts first, judged by a rule."""
    grids = reference.gridset
    whole = reference.profiles["all"].counts
    seen = observe(reference, whole[None, :])
    verdicts: dict[tuple[str, str], dict[str, int]] = {}
    for count in counts:
        verdicts.setdefault((count.length, count.feature), {})[count.verdict] = count.windows
    limits = {length.name: _limits(reference, length, rule) for length in lengths}
    lines = []
    for f, feature in enumerate(grids.features):
        mass = whole[grids.bins[f]]
        grid = feature.grid
        levels, n_categories = _levels(feature, mass)
        told = grids.resolution(f)
        lines.append(
            FeatureLine(
                name=feature.name,
                kind=feature.kind,
                is_prediction=feature.name in reference.prediction,
                importance=reference.importance.get(feature.name),
                n_groups=feature.n_groups,
                missing=float(seen.missing[0, f]) / max(1, reference.rows),
                columns=columns(feature, mass),
                low=grid.low if isinstance(grid, NumericGrid) else None,
                high=grid.high if isinstance(grid, NumericGrid) else None,
                levels=levels,
                n_categories=n_categories,
                resolution=None if told is None else told[0],
                resolution_is=None if told is None else told[1],
                limits=tuple(
                    replace(
                        limits[length.name][f],
                        verdicts=verdicts.get((length.name, feature.name), {}),
                    )
                    for length in lengths
                ),
                fixed=_fixed_of(feature.name, rule),
            )
        )
    return tuple(sorted(lines, key=lambda line: not line.is_prediction))


def _fixed_of(feature: str, rule: Rule) -> tuple[FixedLimit, ...]:
    """Return the fixed limits that judge a feature: its own, and of the others those of all."""
    own = [limit for limit in rule.limits if limit.feature == feature]
    named = {limit.statistic for limit in own}
    of_all = [
        limit for limit in rule.limits if limit.feature == ANY and limit.statistic not in named
    ]
    return (*own, *of_all)


def _usual_of(reference: Reference, length: str, counts: Sequence[VerdictCount]) -> Usual | None:
    """Return a window of the usual size by the ones that were judged; None without any."""
    sums: dict[str, tuple[float, int]] = {}
    for count in counts:
        if count.length == length:
            total, windows = sums.get(count.feature, (0.0, 0))
            sums[count.feature] = total + count.n * count.windows, windows + count.windows
    if not sums:
        return None
    means = {name: total / max(1, windows) for name, (total, windows) in sums.items()}
    names = reference.gridset.names()
    values = np.array([round(means.get(name, 0.0)) for name in names], dtype=np.int64)
    return Usual(int(values.max(initial=0)), values)


def _limits(reference: Reference, length: Length, rule: Rule) -> list[Limit]:
    """Return for each feature what a usual window of this length can see."""
    grids, window = reference.gridset, length.usual
    has_psi = [int(groups) > 1 for groups in grids.B]
    if window is None:
        return [
            Limit(length.name, Sees.WAITS if has else Sees.NOTHING, None, None, None, {})
            for has in has_psi
        ]
    found = sight(reference, ALL, length.name, length.calibration, rule, window)
    return [
        Limit(
            length.name,
            _sees(length, has, found.limit[f], bool(found.blind[f])),
            _known(found.limit[f]),
            _known(found.critical[f]),
            int(window.values[f]),
            {},
            bool(found.fixed[f]),
            _known(found.shift[f]),
            _known(found.missing[f]),
        )
        for f, has in enumerate(has_psi)
    ]


def _sees(length: Length, has_psi: bool, limit: float, is_blind: bool) -> Sees:
    if not has_psi:
        return Sees.NOTHING
    if np.isnan(limit):
        return Sees.WAITS if length.calibration is None else Sees.TOO_FEW
    return Sees.BLIND if is_blind else Sees.JUDGES


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _levels(feature: FeatureGrid, mass: Ints) -> tuple[tuple[tuple[str, float], ...], int]:
    grid = feature.grid
    if not isinstance(grid, CategoricalGrid):
        return (), 0
    total = max(1, int(mass.sum()))
    if grid.is_hashed:
        return (), len(grid.hashes)
    shares = [(level, int(mass[i]) / total) for i, level in enumerate(grid.levels)]
    return tuple(shares), len(grid.levels) + len(grid.rare)


def columns(feature: FeatureGrid, mass: Ints) -> tuple[float, ...]:
    """Return the heights of a small picture of a distribution, the largest 1.

    Numeric: columns of equal width over the reference's values, tails at the edges; the mass
    of a bin lies evenly in it, that of an atom at its value. Categories: one each, the most
    frequent first, all others together last.
    """
    grid = feature.grid
    if isinstance(grid, NumericGrid):
        heights = _histogram(grid, mass)
    elif isinstance(grid, CategoricalGrid) and not grid.is_hashed:
        known = mass[: len(grid.levels)].astype(np.float64)
        rest = float(mass.sum()) - float(known[:CATEGORIES].sum())
        heights = np.append(known[:CATEGORIES], rest) if rest else known[:CATEGORIES]
    else:
        return ()
    top = heights.max(initial=0.0)
    return tuple(float(h / top) for h in heights) if top > 0 else ()


def _histogram(grid: NumericGrid, mass: Ints) -> Floats:
    upper = grid.upper()[:-1]
    # Underflow and overflow are empty in a reference; its own bins lie between.
    highs, lows = upper[1:], upper[:-1]
    inner = mass[1:-1].astype(np.float64)
    is_atom = grid.is_atom[1:-1]
    lows = np.where(is_atom, highs, np.maximum(lows, grid.low))
    total = inner.sum()
    if not total or not len(highs):
        return np.zeros(0)
    share = inner.cumsum() / total
    first = float(highs[int(np.searchsorted(share, TAIL))])
    last = float(highs[min(int(np.searchsorted(share, 1 - TAIL)), len(highs) - 1)])
    if not first < last:
        first, last = grid.low, grid.high
    if not first < last or not np.isfinite(last - first):
        return np.ones(1)
    n_columns = COLUMNS
    if is_atom.all() and len(np.unique(highs)) <= COLUMNS:
        n_columns = max(2, len(np.unique(highs)))
    edges = np.linspace(first, last, n_columns + 1)
    heights = np.zeros(n_columns)
    is_point = is_atom | (highs <= lows)
    places = np.searchsorted(edges, highs[is_point], side="right") - 1
    np.add.at(heights, np.clip(places, 0, n_columns - 1), inner[is_point])
    # The rest lies evenly: its cumulative curve is straight between the ends of the bins.
    spread = inner[~is_point]
    if spread.size:
        until = spread.cumsum()
        ends = np.column_stack([lows[~is_point], highs[~is_point]]).ravel()
        at_edge = np.interp(edges, ends, np.column_stack([until - spread, until]).ravel())
        heights += np.diff(at_edge)
        heights[0] += at_edge[0]
        heights[-1] += until[-1] - at_edge[-1]
    return heights
