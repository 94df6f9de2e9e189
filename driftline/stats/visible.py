"""What a reference can see: the limits of a usual window, and the smallest shift above them.

A limit that no window can exceed is blind. One that only a huge change exceeds is nearly so,
and a user should know it before a year has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.calibration import (
    MIN_ROWS,
    MIN_ROWS_PSI,
    RATES,
    Calibration,
    Floats,
    Ints,
    observe,
    observed_slices,
)
from driftline.stats.distance import newcombe, psi_limit
from driftline.stats.evidence import ALPHA, DELTA, LEAST_EXCESS, Z
from driftline.stats.groups import largest_psi, shares
from driftline.stats.reference import Reference

# Beyond so many standard deviations a normal variable leaves its groups anyway.
MOST_SIGMA = 8.0
# Halving the interval so often leaves a millionth of a sigma.
_HALVINGS = 23


@dataclass(frozen=True)
class Sight:
    """What windows of one length and segment can show, when they have the usual rows.

    Attributes
    ----------
    rows
        The median rows of the reference's full slices.
    values
        [F] The median values in bins.
    limit
        [F] The warning limit of PSI for so many values, >= 0; NaN where PSI is not judged.
    blind
        [F] Whether no window of so many values can exceed it.
    shift
        [F] The smallest shift of a normal variable, in standard deviations, whose PSI is the
        limit; infinite where none is; NaN where PSI is not judged or the feature is no number.
    blind_rates
        {rate: [F]} Whether not even a window with all its rows missing (of the wrong type,
        unseen, out of range) is beyond what fine windows show.
    """

    rows: int
    values: Ints
    limit: Floats
    blind: NDArray[np.bool_]
    shift: Floats
    blind_rates: dict[str, NDArray[np.bool_]]


def sight(reference: Reference, segment: str, length: str, calibration: Calibration) -> Sight:
    """Return what a usual window of a length would have to show to be told.

    Parameters
    ----------
    length
        One of which the reference has slices of the segment.
    """
    grids = reference.gridset
    slices = observed_slices(reference, reference.slices[segment][length])
    own = observe(reference, reference.profiles[segment].counts[None, :])
    rows = int(np.median(slices.rows)) if len(slices.rows) else 0
    values = np.zeros(len(grids.features), np.int64)
    if len(slices.rows):
        values = np.median(slices.values, axis=0).astype(np.int64)
    judged = (values >= MIN_ROWS_PSI) & (grids.B > 1) & ~np.isnan(calibration.tau2)
    limit = np.full(len(grids.features), np.nan)
    v = 1 / np.maximum(values, 1) + 1 / np.maximum(own.values[0], 1) + calibration.tau2
    df = (grids.B - 1).astype(np.float64)
    limit[judged] = np.maximum(
        psi_limit(v[judged], df[judged], DELTA["warning"], ALPHA), calibration.guard[judged]
    )
    most = largest_psi(grids, own.groups, np.maximum(values, 1)[None, :])[0]
    with np.errstate(invalid="ignore"):
        blind = judged & (limit >= most)
    of_group = shares(grids, own.groups)[0]
    shift = np.full(len(grids.features), np.nan)
    for f in np.flatnonzero(judged):
        if grids.features[f].kind == "numeric":
            shift[f] = np.inf if blind[f] else smallest_shift(of_group[grids.groups[f]], limit[f])
    blind_rates = {}
    for rate in RATES:
        hits, n = (np.asarray(part[0]) for part in own.of(rate))
        usual = np.full(len(values), rows) if rate in ("missing", "type_error") else values
        tolerance = np.maximum(LEAST_EXCESS[rate], calibration.up[rate])
        # The most that a window can show: all of it.
        lower, _ = newcombe(usual, usual, hits, n, Z)
        with np.errstate(invalid="ignore"):
            blind_rates[rate] = (usual >= MIN_ROWS[rate]) & (lower <= tolerance)
    return Sight(rows, values, limit, blind, shift, blind_rates)


def smallest_shift(of_group: Floats, limit: float) -> float:
    """Return the smallest shift of a normal variable whose PSI exceeds a limit.

    Parameters
    ----------
    of_group : float array
        The reference's share of each PSI group, in the order of values; they add up to 1.
    limit : float
        PSI, >= 0.

    Returns
    -------
    float
        In standard deviations, > 0; infinite where a shift by 8 stays below the limit. The
        same upwards and downwards: of the two directions the one that shows less.

    Examples
    --------
    >>> round(smallest_shift(np.full(10, 0.1), 0.238), 2)
    0.5
    >>> smallest_shift(np.full(10, 0.1), 1e9)
    inf
    """
    ends = special.ndtri(np.clip(np.cumsum(of_group)[:-1], 0.0, 1.0))
    if _psi_of_shift(of_group, ends, MOST_SIGMA) <= limit:
        return float("inf")
    low, high = 0.0, MOST_SIGMA
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _psi_of_shift(of_group, ends, middle) > limit:
            high = middle
        else:
            low = middle
    return high


def _psi_of_shift(p: Floats, ends: Floats, sigma: float) -> float:
    least = np.inf
    for side in (-sigma, sigma):
        below = special.ndtr(ends - side)
        q = np.diff(below, prepend=0.0, append=1.0)
        # A group that is left empty has half a row of a million, as Jeffreys has half of one.
        q = np.maximum(q, 5e-7)
        least = min(least, float(((q - p) * np.log(q / p)).sum()))
    return least
