"""Every other distance of a window: shown, and judged only where a user set a fixed limit.

PSI and the rates decide (`driftline.stats.evidence`). All of this is computed from the same
counts on the same grid, against the whole reference also where PSI has a season. Distances
appear from 100 values on, as PSI does; means, standard deviations and shares from one on.

Numbers are binned finely, so JS, Hellinger, TV and L-inf of numbers are of PSI's B groups; of
categories they are of the levels, the other known ones together and the unseen ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.distance import (
    MIN_ROWS_PSI,
    chi_square_p,
    ks_p_value,
    psi_p_value,
    round_down,
    round_significant,
    round_up,
)
from driftline.stats.grid import NumericGrid
from driftline.stats.gridset import Gridset
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import Reference
from driftline.stats.side_by_side import portions
from driftline.stats.stack import Stack
from driftline.stats.transport import (
    Ruler,
    Sample,
    mean_of,
    sample,
    sd_interval,
    tail_share,
    w1_parts,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# An interval of a standard deviation wider than this share of itself is of a heavy tail.
WIDE: Final = 0.05
# Between deviations so small, in the reference's, no ratio is asked for: it is 0.
ROUGH: Final = 0.01


@dataclass(frozen=True)
class Measures:
    """Measures of W windows and F features, each [W, F]; NaN where not computable.

    Attributes
    ----------
    psi_star
        PSI less what chance adds to it, (B - 1)(1/n + 1/m): about 0 without drift.
    psi_p, ks_p, chi_square_p
        p-values; that of KS is conservative. They never decide.
    w1_low, w1_high
        Wasserstein-1 lies between, in the feature's unit, 0 = identical, unbounded above; the
        lower end is the estimate. Numbers, segment `all`.
    w1_sigma
        `w1_low` in standard deviations of the reference.
    w1_tail
        Share of it from the outermost 1 % of values, in [0, 1]: above a half the tail
        dominates, and W1 says little.
    js
        Jensen-Shannon distance, natural log, in [0, .83].
    hellinger, tv, linf
        In [0, 1]; see the module for what they are of.
    chi_square, chi_square_df
        Two-sample chi-square of categories, without correction.
    mean, mean_shift
        Mean of the values; its distance from the reference's, signed, in standard deviations of
        the reference.
    sd_low, sd_high
        The standard deviation (divided by n) lies between.
    sd_ratio
        The middle of the two over the reference's; none where the upper is over twice the lower:
        values outside the reference's range are one bin, and their spread is hardly known.
    infinite
        Share of rows that are an infinity.
    zero, negative
        Shares of values.
    differs
        With a constant reference, the share of values that are another.
    """

    psi_star: Floats
    psi_p: Floats
    ks_p: Floats
    w1_low: Floats
    w1_high: Floats
    w1_sigma: Floats
    w1_tail: Floats
    js: Floats
    hellinger: Floats
    tv: Floats
    linf: Floats
    chi_square: Floats
    chi_square_df: Floats
    chi_square_p: Floats
    mean: Floats
    mean_shift: Floats
    sd_low: Floats
    sd_high: Floats
    sd_ratio: Floats
    infinite: Floats
    zero: Floats
    negative: Floats
    differs: Floats


MEASURES: Final = tuple(field.name for field in fields(Measures))
# The ends of intervals still hold what they held once rounded.
_LOWER: Final = ("w1_low", "sd_low")
_UPPER: Final = ("w1_high", "sd_high")
_ROUNDED: Final = {
    tuple(name for name in MEASURES if name not in (*_LOWER, *_UPPER)): round_significant,
    _LOWER: round_down,
    _UPPER: round_up,
}


class Moments(NamedTuple):
    """Mean of a reference and the interval of its standard deviation, each [F]; NaN = none."""

    mean: Floats
    sd_low: Floats
    sd_high: Floats

    @property
    def sd(self) -> Floats:
        """The middle of the interval: what a sigma is."""
        return (self.sd_low + self.sd_high) / 2

    @property
    def is_heavy(self) -> NDArray[np.bool_]:
        """Whether so much lies in the tail that a standard deviation says little."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sd_high - self.sd_low > WIDE * self.sd_low)


def moments(reference: Reference, segment: str = "all") -> Moments:
    """Return what a sigma of each feature is; only `all` has sums to tell it from."""
    return _own(reference, segment).moments


def sigmas(reference: Reference, segments: Sequence[str]) -> Floats:
    """Return the standard deviations of features in segments [S] of a reference, [S, F]."""
    return np.stack([moments(reference, name).sd for name in segments])


def measure(
    reference: Reference,
    segments: Sequence[str],
    windows: Stack,
    *,
    psi: Floats,
    compared: Ints,
    ks_low: Floats,
    of: NDArray[np.intp] | None = None,
) -> Measures:
    """Measure windows against segments [S] of a reference.

    Parameters
    ----------
    of
        [W] Which of the segments each window is of; None where there is one segment.
    psi, ks_low
        [W, F] As judged; NaN where they were not computable.
    compared
        [W, F] The reference's values that PSI compared with: m, or those of a season.
    """
    bases = [_own(reference, segment) for segment in segments]
    grids = reference.gridset
    shape = (len(windows), len(grids.features))
    out: dict[str, Floats] = {name: np.full(shape, np.nan) for name in MEASURES}
    n = _values(grids, windows.counts)
    own = _rows(bases, of)
    _share_out(grids, own, windows, n, out)
    df = np.maximum(grids.B - 1, 1)
    v0 = 1 / np.maximum(n, 1) + 1 / np.maximum(compared, 1)
    out["psi_star"] = psi - df * v0
    out["psi_p"] = psi_p_value(psi, v0, df)
    out["ks_p"] = ks_p_value(ks_low, own.n, np.maximum(n, 1))
    _distances(_cells(grids), grids.unseen >= 0, own, windows, n, out)
    for place, base in enumerate(bases):
        if base.numbers is not None:
            here = np.arange(len(windows)) if of is None else np.flatnonzero(of == place)
            _numbers(base.numbers, base.moments, windows, here, n, out)
    for names, rounded in _ROUNDED.items():
        # One call for all: rounding a hundred numbers costs as much as rounding one.
        out |= zip(names, rounded(np.stack([out[name] for name in names])), strict=True)
    return Measures(**out)


class _Numbers(NamedTuple):
    """The numeric features [G] of a reference whose sums are whole, ready to be compared."""

    features: NDArray[np.intp]  # [G]
    places: NDArray[np.intp]  # of their bins in a profile
    clipped: NDArray[np.intp]  # [G] where the sums tell how many values were clipped
    ruler: Ruler
    sample: Sample


class _Cells(NamedTuple):
    """What JS and its like are of: places summed up, all features side by side."""

    places: NDArray[np.intp]  # of counts, in the order of the cells
    starts: NDArray[np.intp]  # first place of each cell
    owners: NDArray[np.intp]  # feature of each cell
    features: NDArray[np.intp]  # that have cells
    firsts: NDArray[np.intp]  # first cell of each of them


class _Own(NamedTuple):
    """What a reference's segment gives to each comparison."""

    n: Ints  # [F] values
    cell_counts: Ints  # [cells]
    constant: Ints  # [F] place of the only value, -1 where there are more
    numbers: _Numbers | None
    moments: Moments


class _Rows(NamedTuple):
    """The same for windows [W] of many segments; a single row where all are of one."""

    n: Ints  # [1 or W, F]
    cell_counts: Ints  # [1 or W, cells]
    constant: Ints  # [1 or W, F]

    def take(self, windows: NDArray[np.bool_]) -> _Rows:
        """Return the rows of some windows."""
        return self if len(self.n) == 1 else _Rows(*(part[windows] for part in self))


def _rows(bases: Sequence[_Own], of: NDArray[np.intp] | None) -> _Rows:
    stacked = _Rows(
        np.stack([base.n for base in bases]),
        np.stack([base.cell_counts for base in bases]),
        np.stack([base.constant for base in bases]),
    )
    return stacked if of is None else _Rows(*(part[of] for part in stacked))


@lru_cache(maxsize=512)
def _own(reference: Reference, segment: str) -> _Own:
    grids, profile = reference.gridset, reference.profiles[segment]
    cells = _cells(grids)
    constant = np.full(len(grids.features), -1, np.int64)
    for f, span in enumerate(grids.bins):
        filled = np.flatnonzero(profile.counts[span])
        grid = grids.features[f].grid
        one = not isinstance(grid, NumericGrid) or grid.low == grid.high
        if len(filled) == 1 and one:
            constant[f] = span.start + filled[0]
    numbers = _numeric(grids, profile)
    return _Own(
        n=_values(grids, profile.counts[None, :])[0],
        cell_counts=_sum_cells(cells, profile.counts[None, :])[0],
        constant=constant,
        numbers=numbers,
        moments=_moments(grids, numbers, profile),
    )


def _numeric(grids: Gridset, profile: Profile) -> _Numbers | None:
    """None where there is none, and where the profile has no sums."""
    if profile.sums is None:
        return None
    features, made = [], []
    for f in grids.numeric:
        grid = grids.features[f].grid
        assert isinstance(grid, NumericGrid)
        if profile.sums[grids.counters[f, 0]] == 0 and profile.counts[grids.bins[f]].any():
            features.append(f)
            made.append(grid)
    if not made:
        return None
    places = np.concatenate([np.arange(grids.bins[f].start, grids.bins[f].stop) for f in features])
    ruler = Ruler.of(made)
    own = sample(ruler, profile.counts[None, places], profile.sums[None, places])
    at = np.array(features, np.intp)
    return _Numbers(at, places, grids.counters[at, 0].astype(np.intp), ruler, own)


def _moments(grids: Gridset, numbers: _Numbers | None, profile: Profile) -> Moments:
    out = Moments(*(np.full(len(grids.features), np.nan) for _ in range(3)))
    if numbers is not None:
        at, ruler, own = numbers.features, numbers.ruler, numbers.sample
        low, high = (ends[None, at].astype(np.float64) for ends in (profile.low, profile.high))
        out.mean[at] = mean_of(ruler, own.counts, own.sums)[0]
        sd_low, sd_high = sd_interval(ruler, own.counts, own.sums, low, high)
        out.sd_low[at], out.sd_high[at] = sd_low[0], sd_high[0]
    return out


def _values(grids: Gridset, counts: Ints) -> Ints:
    """Values in bins [W, F]."""
    ends = _ends(grids)
    # Behind a feature's bins are its counters, so that there always is a next place.
    sums = np.add.reduceat(counts, ends, axis=1)[:, ::2]
    return np.where(ends[::2] < ends[1::2], sums, 0)


@lru_cache(maxsize=64)
def _ends(grids: Gridset) -> NDArray[np.intp]:
    """First place of each feature's bins and the first behind them, in turn."""
    return np.array([end for span in grids.bins for end in (span.start, span.stop)], np.intp)


@lru_cache(maxsize=64)
def _cells(grids: Gridset) -> _Cells:
    places: list[NDArray[np.intp]] = []
    sizes: list[int] = []
    owners: list[int] = []
    for f, (feature, span) in enumerate(zip(grids.features, grids.bins, strict=True)):
        if feature.kind == "numeric":
            cells = [np.flatnonzero(feature.groups == g) for g in range(feature.n_groups)]
        else:
            cells = [np.array([bin_]) for bin_ in range(feature.n_bins)]
        for bins in cells:
            places.append(bins + span.start)
            sizes.append(len(bins))
            owners.append(f)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.intp)
    features, firsts = np.unique(np.array(owners, np.intp), return_index=True)
    flat = np.concatenate([np.empty(0, np.intp), *places]).astype(np.intp)
    return _Cells(flat, starts, np.array(owners, np.intp), features, firsts)


def _sum_cells(cells: _Cells, counts: Ints) -> Ints:
    if not len(cells.starts):
        return np.zeros((len(counts), 0), np.int64)
    return np.asarray(np.add.reduceat(counts.take(cells.places, axis=1), cells.starts, axis=1))


def _share_out(grids: Gridset, own: _Rows, windows: Stack, n: Ints, out: dict[str, Floats]) -> None:
    counter = {name: grids.counters[:, place] for place, name in enumerate(COUNTERS)}
    counts = windows.counts
    hits = counts[:, counter["pos_inf"]] + counts[:, counter["neg_inf"]]
    rows = np.broadcast_to(counts[:, :1], hits.shape)
    is_numeric = grids.under >= 0
    out["infinite"] = np.where(is_numeric & (rows > 0), hits / np.maximum(rows, 1), np.nan)
    there = is_numeric & (n > 0)
    for name in ("zero", "negative"):
        out[name] = np.where(there, counts[:, counter[name]] / np.maximum(n, 1), np.nan)
    places = np.broadcast_to(np.maximum(own.constant, 0), n.shape)
    same = np.take_along_axis(counts, places, axis=1)
    is_constant = (own.constant >= 0) & (n > 0)
    out["differs"] = np.where(is_constant, (n - same) / np.maximum(n, 1), np.nan)


def _distances(
    cells: _Cells,
    is_categorical: NDArray[np.bool_],
    own: _Rows,
    windows: Stack,
    n: Ints,
    out: dict[str, Floats],
) -> None:
    """JS, Hellinger, TV, L-inf and chi-square of all features at once."""
    use: NDArray[np.bool_] = (n >= MIN_ROWS_PSI) & (own.n > 0)
    if not use.any() or not len(cells.starts):
        return
    some = np.asarray(use.any(axis=1))
    c = _sum_cells(cells, windows.counts[some])
    m, r, _ = own.take(some)

    def put(name: str, by_feature: Floats) -> None:
        out[name][np.ix_(some, cells.features)] = by_feature

    def total(parts: Floats) -> Floats:
        return np.asarray(np.add.reduceat(parts, cells.firsts, axis=1))

    with np.errstate(invalid="ignore", divide="ignore"):
        p = r / m[:, cells.owners]
        q = c / n[some][:, cells.owners]
        middle = (p + q) / 2
        divergence = total(special.rel_entr(p, middle) + special.rel_entr(q, middle)) / 2
        put("js", np.sqrt(np.maximum(divergence, 0.0)))
        put("hellinger", np.sqrt(total((np.sqrt(p) - np.sqrt(q)) ** 2) / 2))
        put("tv", total(np.abs(p - q)) / 2)
        put("linf", np.maximum.reduceat(np.abs(p - q), cells.firsts, axis=1))
        both = (r + c).astype(np.float64)
        ratio = (n[some] / (m + n[some]))[:, cells.owners]
        expected = both * ratio
        # The two samples' deviations are equal and opposite.
        chi = np.where(both > 0, (c - expected) ** 2 / expected / (1 - ratio), 0.0)
        put("chi_square", total(chi))
        put("chi_square_df", total((both > 0).astype(np.float64)) - 1)
    for name in ("js", "hellinger", "tv", "linf"):
        out[name][~use] = np.nan
    with np.errstate(invalid="ignore"):
        has_chi = use & is_categorical & (out["chi_square_df"] >= 1)
    out["chi_square"][~has_chi] = np.nan
    out["chi_square_df"][~has_chi] = np.nan
    out["chi_square_p"] = chi_square_p(out["chi_square"], out["chi_square_df"])


def _numbers(
    x: _Numbers,
    own: Moments,
    windows: Stack,
    here: NDArray[np.intp],
    n: Ints,
    out: dict[str, Floats],
) -> None:
    """Mean, standard deviation and Wasserstein-1 of windows `here`, where no value was clipped."""
    values = n[np.ix_(here, x.features)]
    unclipped = windows.sums[np.ix_(here, x.clipped)] == 0
    there = windows.has_sums[here, None] & (values > 0) & unclipped
    rows = np.flatnonzero(there.any(axis=1))
    mean_own, sigma = own.mean[x.features], own.sd[x.features]
    for some in portions(len(rows), len(x.places)):
        known = there[rows[some]]
        at = here[rows[some]]
        counts, sums = (part[at].take(x.places, axis=1) for part in (windows.counts, windows.sums))
        which = np.ix_(at, x.features)

        def put(name: str, found: Floats, where: NDArray[np.bool_], which: Any = which) -> None:
            out[name][which] = np.where(where, found, np.nan)

        mean = mean_of(x.ruler, counts, sums)
        low, high = sd_interval(
            x.ruler, counts, sums,
            windows.low[which].astype(np.float64), windows.high[which].astype(np.float64),
        )  # fmt: skip
        put("mean", mean, known)
        put("sd_low", low, known)
        put("sd_high", high, known)
        with np.errstate(invalid="ignore", divide="ignore"):
            put("mean_shift", (mean - mean_own) / sigma, known & (sigma > 0))
            is_told = high - low <= np.maximum(low, ROUGH * sigma)
            put("sd_ratio", (low + high) / 2 / sigma, known & (sigma > 0) & is_told)
        enough = known & (values[rows[some]] >= MIN_ROWS_PSI)
        if not enough.any():
            continue
        seen = sample(x.ruler, counts, sums)
        least, most = w1_parts(x.ruler, x.sample, seen)
        w1 = x.ruler.bins.sum(least)
        put("w1_low", w1, enough)
        put("w1_high", x.ruler.bins.sum(most), enough)
        put("w1_tail", tail_share(x.ruler, least, x.sample, seen), enough)
        with np.errstate(invalid="ignore", divide="ignore"):
            put("w1_sigma", w1 / sigma, enough & (sigma > 0))
