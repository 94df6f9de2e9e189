"""Wasserstein-1 and the standard deviation, certified from counts and sums of bins.

Of F numeric features side by side (`driftline.stats.side_by_side`), each from low to high:
underflow, the bins of the reference's range, overflow. Counts are integers, sums those of the
values in quanta of 2**quantum, both [W, T]: W windows, T bins of all features together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftline.stats.grid import NumericGrid, value_of_bits
from driftline.stats.side_by_side import SideBySide

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LARGEST = float(np.finfo(np.float32).max)
# W1 of the values outside these shares of both samples together is that of the tails.
TAIL = 0.005


def edges_of(grid: NumericGrid) -> Floats:
    """Upper end of each bin [K-1], but of the last: what `encode` puts into it lies below.

    Unlike `NumericGrid.upper`, which is for axes, no end is drawn in to the reference's range.
    """
    ends = grid.ends[:-1].astype(np.int64)
    if grid.cells == "edges":
        values = grid.edges[ends].astype(np.float64)
    elif grid.cells == "integers":
        values = (ends + grid.base).astype(np.float64)
        # All that is below the lowest is underflow, fractions too.
        values[0] = np.nextafter(grid.low, -np.inf)
    else:
        keys = ((ends + grid.base + 1) << grid.shift) - 1
        with np.errstate(invalid="ignore"):
            values = value_of_bits(keys).astype(np.float64)
        # Beyond the largest float are infinities and what is no number, no values.
        values[np.isnan(values)] = np.where(keys[np.isnan(values)] < 0, -_LARGEST, _LARGEST)
    clipped: Floats = np.clip(values, -_LARGEST, _LARGEST)
    return clipped


class Ruler(NamedTuple):
    """Where bins lie: a value of bin k is in (lower[k], upper[k]].

    Attributes
    ----------
    lower, upper
        [T] In quanta; the underflow's lower and the overflow's upper end are their other ends.
    width
        [T] In the feature's unit.
    units, unit
        [F] and [T] What a quantum is.
    """

    bins: SideBySide
    lower: Floats
    upper: Floats
    width: Floats
    units: Floats
    unit: Floats

    @classmethod
    def of(cls, grids: Sequence[NumericGrid]) -> Ruler:
        """Lay the bins of one grid or more side by side."""
        bins = SideBySide.of([grid.n_bins for grid in grids])
        edges = [edges_of(grid) for grid in grids]
        lower = np.concatenate([np.concatenate([ends[:1], ends]) for ends in edges])
        upper = np.concatenate([np.concatenate([ends, ends[-1:]]) for ends in edges])
        units = np.array([2.0**grid.quantum for grid in grids])
        unit = units[bins.owners]
        return cls(bins, lower / unit, upper / unit, upper - lower, units, unit)


class Sample(NamedTuple):
    """Counts and sums of W windows, or of a reference (W = 1), and what both sides need of them.

    Attributes
    ----------
    n
        [W, F] Values.
    counts, sums
        [W, T]
    until, before
        [W, T] Share of the values up to each bin's end, and up to its beginning.
    gap
        [W, T] What is missing to all values of a bin lying at its upper end, in quanta of a value.
    most
        [W, T] The share somewhere inside a bin is at most so much.
    """

    n: Ints
    counts: Ints
    sums: Ints
    until: Floats
    before: Floats
    gap: Floats
    most: Floats


def sample(ruler: Ruler, counts: Ints, sums: Ints) -> Sample:
    """Prepare counts and sums [W, T] to be compared."""
    until, before, n = ruler.bins.cumulated(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = (counts * ruler.upper - sums) / n[:, ruler.bins.owners]
    # Where all values lie at the upper end (an atom), the share is flat before it.
    is_flat = sums == counts * np.rint(ruler.upper)
    return Sample(n, counts, sums, until, before, gap, np.where(is_flat, before, until))


def w1_parts(ruler: Ruler, r: Sample, c: Sample) -> tuple[Floats, Floats]:
    """Bounds (low, high) of what each bin adds to the Wasserstein-1 distance, both [W, T].

    W1 is the area between the two distribution functions. Sums tell the signed area D of each
    bin exactly; where the functions may cross inside one, abs(D) is its least and
    [D (U - L) + 2 w U L] / (U + L) its most: the difference lies in [-L, U] over a width of w.
    The reference `r` has no values outside its own range; there the area is exact.

    **Source**: L. Vaserstein (1969); S. Vallender (1974), W1 as the area between two
    distribution functions.
    """
    bins = ruler.bins
    with np.errstate(invalid="ignore", divide="ignore"):
        signed = ruler.width * (r.before - c.before) + (r.gap - c.gap) * ruler.unit
        up, down = r.most - c.before, c.most - r.before
        crossed = (signed * (up - down) + 2 * ruler.width * up * down) / (up + down)
        low = np.abs(signed)
        high = np.where((up > 0) & (down > 0), np.maximum(low, crossed), low)
        # Rounding to quanta may leave a little less than nothing.
        for ends, edges, sign in ((bins.firsts, ruler.upper, 1), (bins.lasts, ruler.lower, -1)):
            edge = edges[ends] * ruler.units
            beyond = edge * c.counts[:, ends] - c.sums[:, ends] * ruler.units
            low[:, ends] = high[:, ends] = np.maximum(sign * beyond / c.n, 0.0)
    nothing = ((c.n == 0) | (r.n == 0))[:, bins.owners]
    low[nothing], high[nothing] = np.nan, np.nan
    return low, high


def w1_interval(ruler: Ruler, r: Sample, c: Sample) -> tuple[Floats, Floats]:
    """Bounds (low, high) of the Wasserstein-1 distance of float32 values, in their unit, [W, F].

    0 = identical, unbounded above; a shift of all values moves it by as much. The lower end is
    the estimate, too. See `w1_parts`.
    """
    low, high = w1_parts(ruler, r, c)
    return ruler.bins.sum(low), ruler.bins.sum(high)


def tail_share(ruler: Ruler, parts: Floats, r: Sample, c: Sample) -> Floats:
    """Share of W1 [W, F] that comes from the outermost 1 % of both samples' values together.

    Above a half the tail dominates: W1 says little about the rest.

    Parameters
    ----------
    parts
        [W, T] `w1_parts`, its lower bounds.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        outer = ((r.until + c.until) / 2 <= TAIL) | ((r.before + c.before) / 2 >= 1 - TAIL)
        total = ruler.bins.sum(parts)
        share = ruler.bins.sum(np.where(outer, parts, 0.0)) / total
    return np.where(total == 0, 0.0, share)


def mean_of(ruler: Ruler, counts: Ints, sums: Ints) -> Floats:
    """Mean of the values [W, F]; NaN without any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = ruler.bins.count(sums) / ruler.bins.count(counts) * ruler.units
    return mean


def sd_interval(
    ruler: Ruler, counts: Ints, sums: Ints, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Bounds (low, high) of the standard deviation of the values (divided by n), [W, F].

    Of c values in [a, b] with the sum S the squares add up to S^2/c at least and to
    (a + b) S - a b c at most; of a bin that holds one value to exactly that.

    Parameters
    ----------
    low, high
        [W, F] The smallest and the largest value.
    """
    bins = ruler.bins
    n = bins.count(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (bins.count(sums) / n)[:, bins.owners]
        # Seen from the mean: squares of large numbers would lose what tells them apart.
        offset = sums - counts * mean
        bottom, top = low / ruler.units, high / ruler.units
        least_value, most_value = bottom[:, bins.owners], top[:, bins.owners]
        a = np.clip(ruler.lower, least_value, most_value)
        b = np.clip(ruler.upper, least_value, most_value)
        a[:, bins.firsts], b[:, bins.lasts] = bottom, top
        a -= mean
        b -= mean
        some = counts > 0
        least = bins.sum(np.where(some, offset * offset / counts, 0.0)) / n
        most = bins.sum(np.where(some, (a + b) * offset - a * b * counts, 0.0)) / n
        sd_low = np.sqrt(np.maximum(least, 0.0)) * ruler.units
        sd_high = np.sqrt(np.maximum(most, 0.0)) * ruler.units
    return np.where(n > 0, sd_low, np.nan), np.where(n > 0, np.maximum(sd_low, sd_high), np.nan)
