"""A numeric feature's bins as bars of equal width, at most forty of them, for the eye.

Bins hold equal mass, not equal width, so their counts are spread over the bars in
proportion; an atom's over the room to its neighbours, or the bars of a finely rounded
feature would look like a comb. Numbers are never read off the bars: groups and quantiles
come from the bins. What lies outside the bars' range is in an open bar at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.views.compared import Bins, Distribution

MAX_BARS: Final = 40
# The bars' range leaves this share of each side at each end out.
_TAIL: Final = 0.005
# An atom as large as a group is one value, and one bar.
_LARGE_ATOM: Final = 0.1
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """The share of both sides' values in `(low, high]`; an end that is None is open."""

    low: float | None
    high: float | None
    reference: float
    current: float


@dataclass(frozen=True)
class Bars:
    """Bars by value; `is_spread` says that counts of bins were divided between bars."""

    bars: tuple[Bar, ...]
    is_spread: bool


def bars(distribution: Distribution) -> Bars:
    """Return the bars of both sides; none without numbers on either side."""
    bins = distribution.bins
    if bins is None or len(bins.upper) < 3 or not (sum(bins.reference) or sum(bins.current)):
        return Bars((), False)
    low, high = _range(bins)
    if not low < high:
        return Bars((), False)
    if bins.is_integer:
        step = ceil((high - low) / (MAX_BARS - 2))
        n = ceil((high - low) / step)
        edges = low + step * np.arange(n + 1, dtype=np.float64)
    else:
        edges = np.linspace(low, high, MAX_BARS - 1, dtype=np.float64)
    left, right = _extents(bins)
    shares = []
    for counts in (bins.reference, bins.current):
        total = max(sum(counts), 1)
        mass = np.asarray(counts, dtype=float) / total
        # Outside the reference's range nothing is known of where: it is in the open ends.
        inner = _spread(mass[1:-1], left, right, edges)
        inner[0] += mass[0]
        inner[-1] += mass[-1]
        shares.append(inner)
    reference, current = shares
    made = [
        Bar(
            None if place == 0 else float(edges[place - 1]),
            None if place == len(edges) else float(edges[place]),
            float(reference[place]),
            float(current[place]),
        )
        for place in range(len(edges) + 1)
    ]
    if made[0].reference == made[0].current == 0:
        made.pop(0)
    if made[-1].reference == made[-1].current == 0:
        made.pop()
    return Bars(tuple(made), not bins.is_integer or bool(edges[1] - edges[0] > 1))


def _range(bins: Bins) -> tuple[float, float]:
    """Return the range of the inner bars: within the reference's, and where values are."""
    left, right = _extents(bins)
    lows, highs = [], []
    for counts in (bins.reference, bins.current):
        inside = np.asarray(counts[1:-1], dtype=float)
        if not inside.sum():
            continue
        cumulated = np.cumsum(inside) / inside.sum()
        lows.append(float(left[np.searchsorted(cumulated, _TAIL)]))
        last = min(int(np.searchsorted(cumulated, 1 - _TAIL)), len(right) - 1)
        highs.append(float(right[last]))
    low, high = min(lows, default=bins.low), max(highs, default=bins.high)
    if bins.is_integer:
        return np.floor(low - 0.5) + 0.5, np.ceil(high - 0.5) + 0.5
    if low == high:
        return (low, bins.high) if bins.high > low else (bins.low, high)
    return low, high


def _extents(bins: Bins) -> tuple[Floats, Floats]:
    """Return where the mass of each bin within the reference's range is put."""
    upper = np.asarray(bins.upper[:-1], dtype=float)
    right, left = upper[1:].copy(), upper[:-1].copy()
    left[0] = max(left[0], bins.low) if not bins.is_integer else left[0]
    if bins.is_integer:
        # A bin (a, b] of integers is those from a + 1 to b, half a step to each side.
        return left + 0.5, right + 0.5
    atom = np.asarray(bins.is_atom[1:-1], dtype=bool)
    places = np.flatnonzero(atom)
    if len(places):
        values = right[places]
        middles = (values[1:] + values[:-1]) / 2
        below = np.concatenate([[values[0]], middles])
        above = np.concatenate([middles, [values[-1]]])
        # Bins between two atoms hold what is between them: an atom keeps clear of those.
        filled = np.asarray(bins.reference[1:-1]) + np.asarray(bins.current[1:-1]) > 0
        masses = [np.asarray(side[1:-1], dtype=float) for side in (bins.reference, bins.current)]
        largest = np.max([mass / max(mass.sum(), 1.0) for mass in masses], axis=0)
        for number, place in enumerate(places.tolist()):
            if largest[place] >= _LARGE_ATOM:
                left[place] = right[place] = values[number]
                continue
            before_is_filled = place > 0 and filled[place - 1] and not atom[place - 1]
            after_is_filled = place + 1 < len(filled) and filled[place + 1] and not atom[place + 1]
            left[place] = values[number] if before_is_filled else below[number]
            right[place] = values[number] if after_is_filled else above[number]
    return left, right


def _spread(mass: Floats, left: Floats, right: Floats, edges: Floats) -> Floats:
    """Return the mass below the first edge, between the edges, and above the last."""
    width = right - left
    shares = np.zeros(len(edges) + 1)
    for place in np.flatnonzero(mass):
        if width[place] <= 0:
            # All at one value, which belongs to the bar that ends there.
            at = int(np.searchsorted(edges, right[place], side="left"))
            shares[max(at, 1) if right[place] >= edges[0] else 0] += mass[place]
            continue
        covered = np.clip((edges - left[place]) / width[place], 0.0, 1.0)
        parts = np.diff(np.concatenate([[0.0], covered, [1.0]]))
        shares += mass[place] * parts
    return shares
