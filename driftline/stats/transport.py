"""Wasserstein-1 and the standard deviation, certified from counts and sums of bins.

Bins of one numeric feature, from low to high: underflow, the bins of the reference's range,
overflow. `edges` [K-1] are their upper ends, without that of the overflow; a value of bin k lies
in (edges[k-1], edges[k]]. `counts` are integers, `sums` the sums of the values in quanta of
2**quantum, [..., K]. Vectorised over windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.stats.grid import NumericGrid, value_of_bits

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


def w1_parts(
    edges: Floats, quantum: int, r: Ints, sr: Ints, c: Ints, sc: Ints
) -> tuple[Floats, Floats]:
    """Bounds (low, high) of what each bin adds to the Wasserstein-1 distance, both [W, K].

    W1 is the area between the two distribution functions. Sums tell the signed area D of each
    bin exactly; where the functions may cross inside one, abs(D) is its least and
    [D (U - L) + 2 w U L] / (U + L) its most: the difference lies in [-L, U] over a width of w.
    The reference has no values outside its own range; there the area is exact.

    Parameters
    ----------
    r, sr
        [K] The reference's counts and sums; none in the end bins.
    c, sc
        [W, K] The windows'.

    **Source**: L. Vaserstein (1969); S. Vallender (1974), W1 as the area between two
    distribution functions.
    """
    unit = 2.0**quantum
    m, n = float(r.sum()), c.sum(axis=-1, keepdims=True).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        upper_r, upper_c = r.cumsum() / m, c.cumsum(axis=-1) / n
        lower_r, lower_c = _before(upper_r), _before(upper_c)
        a, b = edges[:-1], edges[1:]
        width = b - a
        # In quanta: what is missing to all values lying at the bin's upper end.
        top = b / unit
        inner = slice(1, -1)
        gap_r = (r[inner] * top - sr[inner]) / m
        gap_c = (c[:, inner] * top - sc[:, inner]) / n
        signed = width * (lower_r[inner] - lower_c[:, inner]) + (gap_r - gap_c) * unit
        # Where all values of a sample lie at the upper end (an atom), it is flat before.
        whole = np.rint(top)
        flat_r = sr[inner] == r[inner] * whole
        flat_c = sc[:, inner] == c[:, inner] * whole
        most_r = np.where(flat_r, lower_r[inner], upper_r[inner])
        most_c = np.where(flat_c, lower_c[:, inner], upper_c[:, inner])
        up, down = most_r - lower_c[:, inner], most_c - lower_r[inner]
        crossed = (signed * (up - down) + 2 * width * up * down) / (up + down)
    low, high = (np.zeros(c.shape) for _ in range(2))
    low[:, inner] = np.abs(signed)
    may_cross = (up > 0) & (down > 0)
    high[:, inner] = np.where(may_cross, np.maximum(low[:, inner], crossed), low[:, inner])
    with np.errstate(invalid="ignore", divide="ignore"):
        under = (edges[0] * c[:, 0] - sc[:, 0] * unit) / n[:, 0]
        over = (sc[:, -1] * unit - edges[-1] * c[:, -1]) / n[:, 0]
    # Rounding to quanta may leave a little less than nothing.
    low[:, 0] = high[:, 0] = np.maximum(under, 0.0)
    low[:, -1] = high[:, -1] = np.maximum(over, 0.0)
    nothing = (n[:, 0] == 0) | (m == 0)
    low[nothing], high[nothing] = np.nan, np.nan
    return low, high


def w1_interval(
    edges: Floats, quantum: int, r: Ints, sr: Ints, c: Ints, sc: Ints
) -> tuple[Floats, Floats]:
    """Bounds (low, high) of the Wasserstein-1 distance of float32 values, in their unit, [W].

    0 = identical, unbounded above; a shift of all values moves it by as much. The lower end is
    the estimate, too. See `w1_parts`.
    """
    low, high = w1_parts(edges, quantum, r, sr, c, sc)
    return np.asarray(low.sum(axis=-1)), np.asarray(high.sum(axis=-1))


def tail_share(parts: Floats, r: Ints, c: Ints) -> Floats:
    """Share of W1 [W] that comes from the outermost 1 % of both samples' values together.

    Above a half the tail dominates: W1 says little about the rest.

    Parameters
    ----------
    parts
        [W, K] `w1_parts`, its lower bounds.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        until = (r.cumsum() / r.sum() + c.cumsum(axis=-1) / c.sum(axis=-1, keepdims=True)) / 2
        outer = (until <= TAIL) | (_before(until) >= 1 - TAIL)
        total = parts.sum(axis=-1)
        share = np.where(outer, parts, 0.0).sum(axis=-1) / total
    return np.where(total == 0, 0.0, share)


def mean_of(quantum: int, counts: Ints, sums: Ints) -> Floats:
    """Mean of the values [W]; NaN without any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = sums.sum(axis=-1) / counts.sum(axis=-1) * 2.0**quantum
    return mean


def sd_interval(
    edges: Floats, quantum: int, counts: Ints, sums: Ints, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Bounds (low, high) of the standard deviation of the values (divided by n), [W].

    Of c values in [a, b] with the sum S the squares add up to S^2/c at least and to
    (a + b) S - a b c at most; of a bin that holds one value to exactly that.

    Parameters
    ----------
    low, high
        [W] The smallest and the largest value.
    """
    n = counts.sum(axis=-1)
    unit = 2.0**quantum
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums.sum(axis=-1) / n)[..., None]
        # Seen from the mean: squares of large numbers would lose what tells them apart.
        offset = sums - counts * mean
        ends = np.broadcast_to(edges / unit, (*counts.shape[:-1], len(edges)))
        bottom, top = low[..., None] / unit, high[..., None] / unit
        a = np.concatenate([bottom, np.clip(ends, bottom, top)], axis=-1) - mean
        b = np.concatenate([np.clip(ends, bottom, top), top], axis=-1) - mean
        some = counts > 0
        least = np.where(some, offset * offset / counts, 0.0).sum(axis=-1) / n
        most = np.where(some, (a + b) * offset - a * b * counts, 0.0).sum(axis=-1) / n
        sd_low = np.sqrt(np.maximum(least, 0.0)) * unit
        sd_high = np.sqrt(np.maximum(most, 0.0)) * unit
    return np.where(n > 0, sd_low, np.nan), np.where(n > 0, np.maximum(sd_low, sd_high), np.nan)


def _before(cumulated: Floats) -> Floats:
    out = np.zeros_like(cumulated)
    out[..., 1:] = cumulated[..., :-1]
    return out
