"""Distances between counts on one grid, their limits, and intervals of rates.

Vectorised over windows: `r` is the reference's counts [G], `c` the current counts
[..., G]. The functions take counts and return numbers; what a number means for a user is
decided elsewhere. With no rows on a side a distance is NaN: there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from driftline.stats.quantile import noncentral_chi_square
from driftline.stats.side_by_side import SideBySide

Floats = NDArray[np.float64]

# A distance between distributions is judged from so many values on.
MIN_ROWS_PSI = 100
# Of the last of nine digits: a part in 1e13 at least, more than sums of floats are wrong by.
_ARITHMETIC = 1e-4


def jeffreys(counts: ArrayLike) -> Floats:
    """Shares with half a count added to each group: (c + 1/2) / (n + B/2).

    Never zero, so PSI stays finite.

    **Source**: H. Jeffreys (1946), the invariant prior of a multinomial.

    Examples
    --------
    >>> jeffreys([0, 1]).tolist()
    [0.25, 0.75]
    """
    c = np.asarray(counts, np.float64)
    shares: Floats = (c + 0.5) / (c.sum(axis=-1, keepdims=True) + c.shape[-1] / 2)
    return shares


def psi_contributions(r: ArrayLike, c: ArrayLike) -> Floats:
    """What each group adds to PSI, [..., G]; each is >= 0."""
    p, q = jeffreys(r), jeffreys(c)
    parts: Floats = (q - p) * np.log(q / p)
    return np.where(_has_rows(r, c)[..., None], parts, np.nan)


def psi(r: ArrayLike, c: ArrayLike) -> Floats:
    """Population stability index of Jeffreys shares, in nats.

    0 = identical, unbounded above; .25 is a shift of about half a standard deviation.

    **Source**: S. Kullback and R. Leibler (1951), equation 2.6 (the symmetric divergence).

    Examples
    --------
    >>> float(psi([1000] * 10, [40, 55, 70, 85, 95, 105, 115, 130, 145, 160]).round(10))
    0.1487286143
    """
    total: Floats = psi_contributions(r, c).sum(axis=-1)
    return total


def psi_variance(m: ArrayLike, n: ArrayLike, tau2: ArrayLike = 0.0) -> Floats:
    """v = 1/n + 1/m + tau2: PSI / v is chi-square with B - 1 degrees of freedom, no drift.

    **Source**: B. Yurdakul (2018), Statistical properties of population stability index.
    """
    with np.errstate(divide="ignore"):
        v: Floats = 1 / np.asarray(n, np.float64) + 1 / np.asarray(m, np.float64)
    return v + np.asarray(tau2, np.float64)


def psi_p_value(value: ArrayLike, v: ArrayLike, df: ArrayLike) -> Floats:
    """Probability of a PSI at least this large without drift (shown, never decides)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p: Floats = special.chdtrc(np.asarray(df, np.float64), np.divide(value, v))
    return p


def psi_limit(
    v: ArrayLike, df: ArrayLike, delta: ArrayLike, alpha: float = 0.001
) -> NDArray[np.float64]:
    """Value that PSI exceeds with probability `alpha` when the true PSI is `delta`.

    v ncx2.ppf(1 - alpha, df, delta / v); inf where df < 1 (one group cannot drift).

    Parameters
    ----------
    v : array
        Variance scale, 1/n + 1/m + tau2, > 0.
    df : array
        Groups - 1.
    delta : array
        True PSI that is tolerated, >= 0.

    Examples
    --------
    >>> float(psi_limit(0.0011, 9, 0.1).round(10))
    0.1854217439
    """
    v, df, delta = (np.asarray(a, np.float64) for a in (v, df, delta))
    enough = (df >= 1) & (v > 0) & np.isfinite(v)
    safe_v, safe_df = np.where(enough, v, 1.0), np.where(enough, df, 1.0)
    moved = delta / safe_v
    # Many features ask alike (of as many rows, with as many groups): a quantile takes microseconds.
    asked = np.empty(np.broadcast_shapes(safe_df.shape, moved.shape), np.complex128)
    asked.real, asked.imag = safe_df, moved
    each, which = np.unique(asked, return_inverse=True)
    quantiles = noncentral_chi_square(1 - alpha, each.real, each.imag)
    limit = np.asarray(safe_v * quantiles[which].reshape(asked.shape))
    # Where the last digit that counts could fall otherwise, SciPy's search says it.
    unsure = _between_digits(limit)
    exact = special.chndtrix(1 - alpha, asked.real[unsure], asked.imag[unsure])
    limit[unsure] = np.broadcast_to(safe_v, limit.shape)[unsure] * exact
    return np.where(enough, limit, np.inf)


def _between_digits(values: Floats, digits: int = 9) -> NDArray[np.bool_]:
    """Where rounding goes up or down by less than a thousandth of the last digit."""
    scaled = values * 10.0 ** (digits - 1 - np.floor(np.log10(values)))
    return np.asarray(np.abs(scaled - np.floor(scaled) - 0.5) < 1e-3)


def psi_lower_bound(
    value: ArrayLike, v: ArrayLike, df: ArrayLike, alpha: float = 0.001
) -> NDArray[np.float64]:
    """The delta whose limit equals PSI: one is 1 - alpha sure that the true PSI is above.

    0 where PSI is not above the limit for delta = 0.
    """
    value, v, df = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (value, v, df)))
    bound = np.zeros(value.shape)
    above = np.asarray((df >= 1) & (v > 0) & np.isfinite(v) & np.isfinite(value))
    # There are few numbers of groups.
    groups, which = np.unique(df[above], return_inverse=True)
    above[above] = value[above] / v[above] > special.chdtri(groups, alpha)[which]
    # Few are: the search for the bound is what costs.
    v = v[above]
    bound[above] = v * special.chndtrinc(value[above] / v, df[above], 1 - alpha)
    return bound


def ks_interval(
    r_bins: ArrayLike, c_bins: ArrayLike, is_atom: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Bounds (low, high) of the two-sample Kolmogorov-Smirnov statistic on cells.

    The exact statistic lies inside, always; both are in [0, 1]. The distance is known at
    bin ends; inside a bin that holds several cells it can rise at most to where one sample
    has all of the bin and the other nothing.

    Parameters
    ----------
    is_atom : bool array [G]
        Bins of one cell only: nothing can happen inside them.

    Examples
    --------
    >>> c = [40, 55, 70, 85, 95, 105, 115, 130, 145, 160]
    >>> low, high = ks_interval([1000] * 10, c, np.zeros(10, bool))
    >>> round(float(low), 3), round(float(high), 3)
    (0.155, 0.255)
    """
    r, c = np.asarray(r_bins, np.float64), np.asarray(c_bins, np.float64)
    size = r.shape[-1]
    bins = SideBySide.of([size])
    two = (bins.sample(counts.reshape(-1, size)) for counts in (r, c))
    low, high = bins.ks(is_atom, *two)
    return low.reshape(c.shape[:-1]), high.reshape(c.shape[:-1])


def ks_p_value(low: ArrayLike, m: ArrayLike, n: ArrayLike) -> Floats:
    """Conservative p-value of a KS interval, from its lower end (shown, never decides)."""
    m, n = np.asarray(m, np.float64), np.asarray(n, np.float64)
    p: Floats = special.kolmogorov(np.asarray(low, np.float64) * np.sqrt(n * m / (n + m)))
    return p


def js_distance(r: ArrayLike, c: ArrayLike) -> Floats:
    """Jensen-Shannon distance, natural log: 0 = identical, sqrt(ln 2) = .83 = disjoint.

    Base 2 is larger by 1/sqrt(ln 2).

    **Source**: D. Endres and J. Schindelin (2003).
    """
    p, q = _shares(r, c)
    middle = (p + q) / 2
    divergence = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(axis=-1) / 2
    distance: Floats = np.sqrt(np.maximum(divergence, 0.0))
    return distance


def hellinger(r: ArrayLike, c: ArrayLike) -> Floats:
    """Hellinger distance: 0 = identical, 1 = disjoint.

    **Source**: E. Hellinger (1909), normalised by 1/sqrt(2).
    """
    p, q = _shares(r, c)
    distance: Floats = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=-1) / 2)
    return distance


def total_variation(r: ArrayLike, c: ArrayLike) -> Floats:
    """Share of rows that would have to move: 0 = identical, 1 = disjoint."""
    p, q = _shares(r, c)
    distance: Floats = np.abs(p - q).sum(axis=-1) / 2
    return distance


def linf(r: ArrayLike, c: ArrayLike) -> Floats:
    """Largest difference of a share: 0 = identical, at most 1."""
    p, q = _shares(r, c)
    distance: Floats = np.abs(p - q).max(axis=-1)
    return distance


def chi_square(r: ArrayLike, c: ArrayLike) -> Floats:
    """Two-sample chi-square statistic, no continuity correction; groups empty in both skip.

    **Source**: K. Pearson (1911), the test of two independent samples.
    """
    r, c = np.asarray(r, np.float64), np.asarray(c, np.float64)
    m, n = r.sum(axis=-1, keepdims=True), c.sum(axis=-1, keepdims=True)
    both = r + c
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = both * (n / (m + n))
        # The two samples' deviations are equal and opposite.
        parts = (c - expected) ** 2 * (1 / expected + n / m / expected)
    parts = np.where(both > 0, parts, 0.0)
    return np.where(_has_rows(r, c), parts.sum(axis=-1), np.nan)


def chi_square_p(value: ArrayLike, df: ArrayLike) -> Floats:
    """Probability of a chi-square statistic at least this large without drift (never decides)."""
    p: Floats = special.chdtrc(np.asarray(df, np.float64), np.asarray(value, np.float64))
    return p


def _shares(r: ArrayLike, c: ArrayLike) -> tuple[Floats, Floats]:
    r, c = np.asarray(r, np.float64), np.asarray(c, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return r / r.sum(axis=-1, keepdims=True), c / c.sum(axis=-1, keepdims=True)


def _has_rows(r: ArrayLike, c: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray((np.sum(r, axis=-1) > 0) & (np.sum(c, axis=-1) > 0))


def wilson(x: ArrayLike, n: ArrayLike, z: float) -> tuple[Floats, Floats]:
    """Interval (low, high) of a share x/n; (0, 1) where n = 0.

    **Source**: E. Wilson (1927); R. Newcombe (1998), method 3.

    Examples
    --------
    >>> low, high = wilson(0, 10, 1.96)
    >>> float(low), round(float(high), 4)
    (0.0, 0.2775)
    """
    x, n = np.asarray(x, np.float64), np.asarray(n, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = x / n
        middle = p + z * z / (2 * n)
        half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low = np.maximum((middle - half) / (1 + z * z / n), 0.0)
        high = np.minimum((middle + half) / (1 + z * z / n), 1.0)
    # Exactly the edge where the count is: rounding may miss it by an ulp.
    low = np.where(x == 0, 0.0, low)
    high = np.where(x == n, 1.0, high)
    return low, high


def newcombe(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, z: float
) -> tuple[Floats, Floats]:
    """Interval (low, high) of p1 - p2 for two independent shares; (-1, 1) where n1 or n2 is 0.

    **Source**: R. Newcombe (1998), Interval estimation for the difference between
    independent proportions, method 10 (Wilson's intervals, no continuity correction).

    Examples
    --------
    >>> low, high = newcombe(56, 70, 48, 80, 1.959964)
    >>> round(float(low), 4), round(float(high), 4)
    (0.0524, 0.3339)
    """
    x1, n1, x2, n2 = (np.asarray(a, np.float64) for a in (x1, n1, x2, n2))
    low1, high1 = wilson(x1, n1, z)
    low2, high2 = wilson(x2, n2, z)
    with np.errstate(invalid="ignore", divide="ignore"):
        p1, p2 = x1 / n1, x2 / n2
        low = p1 - p2 - np.sqrt((p1 - low1) ** 2 + (high2 - p2) ** 2)
        high = p1 - p2 + np.sqrt((high1 - p1) ** 2 + (p2 - low2) ** 2)
    known = (n1 > 0) & (n2 > 0)
    return np.where(known, low, -1.0), np.where(known, high, 1.0)


def round_significant(values: Floats, digits: int = 9) -> Floats:
    """Round to significant digits, so that stored and recomputed figures are equal.

    Examples
    --------
    >>> round_significant(np.array([0.123456789012, 0.0])).tolist()
    [0.123456789, 0.0]
    """
    return _rounded(values, digits, np.rint)


def round_down(values: Floats, digits: int = 9) -> Floats:
    """Round lower ends to significant digits: what lies above an end lies above the rounded one.

    What misses a rounded number by the error of the arithmetic alone is that number.

    Examples
    --------
    >>> round_down(np.array([0.27752976190476, 0.1 + 0.2, -0.27752976190476])).tolist()
    [0.277529761, 0.3, -0.277529762]
    """
    return _rounded(values, digits, lambda scaled: np.floor(scaled + _ARITHMETIC))


def round_up(values: Floats, digits: int = 9) -> Floats:
    """Round upper ends to significant digits: what lies below an end lies below the rounded one.

    Examples
    --------
    >>> round_up(np.array([0.27752976190476, 0.1 + 0.2])).tolist()
    [0.277529762, 0.3]
    """
    # Plus 0: what is nothing has no sign.
    return _rounded(values, digits, lambda scaled: np.ceil(scaled - _ARITHMETIC) + 0.0)


def _rounded(values: Floats, digits: int, to_whole: Callable[[Floats], Floats]) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.floor(np.log10(np.abs(values)))
        # Kept within what 10.0 ** x can hold; smaller figures are noise.
        scale = 10.0 ** np.clip(digits - 1 - magnitude, -300, 300)
        out = to_whole(values * scale) / scale
    return np.where(np.isfinite(out), out, values)
