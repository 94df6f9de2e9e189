"""All features of many windows at once: shares and PSI on the flat group vector.

A gridset lays the groups of its features side by side; these functions take
[W, groups] arrays and return one column a feature, so that judging thousands
of windows is a handful of array operations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.stats.gridset import Gridset
from driftline.stats.side_by_side import SideBySide

Number = TypeVar("Number", np.int64, np.float64)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Flat(NamedTuple):
    """Where features lie in the flat group vector."""

    owners: NDArray[np.intp]  # [groups] the feature that each group belongs to
    present: NDArray[np.intp]  # features that have groups
    firsts: NDArray[np.intp]  # first group of each of them


class NumberBins(NamedTuple):
    """The bins of all numeric features [G], side by side.

    Attributes
    ----------
    features
        [G] Their numbers.
    places
        [T] Where the bins are in a profile.
    bins
        Which of them are whose.
    is_atom
        [T] Bins of one cell only.
    """

    features: NDArray[np.intp]
    places: NDArray[np.intp]
    bins: SideBySide
    is_atom: NDArray[np.bool_]


@lru_cache(maxsize=64)
def number_bins(gridset: Gridset) -> NumberBins | None:
    """Return the bins of a gridset's numeric features; None where it has none."""
    if not gridset.numeric:
        return None
    spans = [gridset.bins[f] for f in gridset.numeric]
    return NumberBins(
        np.array(gridset.numeric, np.intp),
        np.concatenate([np.arange(span.start, span.stop) for span in spans]),
        SideBySide.of([span.stop - span.start for span in spans]),
        np.concatenate([gridset.features[f].is_atom() for f in gridset.numeric]),
    )


def per_feature(gridset: Gridset, groups: NDArray[Number]) -> NDArray[Number]:
    """Return [W, F]: the sum over each feature's groups (0 where a feature has none)."""
    out = np.zeros((len(groups), len(gridset.features)), dtype=groups.dtype)
    flat = _flat(gridset)
    if len(flat.present):
        out[:, flat.present] = np.add.reduceat(groups, flat.firsts, axis=1)
    return out


@lru_cache(maxsize=64)
def _flat(gridset: Gridset) -> _Flat:
    sizes = np.array([span.stop - span.start for span in gridset.groups], np.intp)
    present = np.flatnonzero(sizes)
    return _Flat(
        np.repeat(np.arange(len(sizes), dtype=np.intp), sizes),
        present,
        np.array([gridset.groups[f].start for f in present], np.intp),
    )


def shares(gridset: Gridset, groups: Ints) -> Floats:
    """Return the Jeffreys shares (c + 1/2) / (n + B/2) of each group in its feature, [W, groups].

    Source: H. Jeffreys, Theory of Probability (1961): the prior that adds half
    a count to every cell, so that no share is 0 and PSI is finite.
    """
    owners = _flat(gridset).owners
    totals = per_feature(gridset, groups) + gridset.B / 2
    return np.asarray((groups + 0.5) / totals[:, owners])


def psi_by_feature(gridset: Gridset, reference: Ints, current: Ints) -> tuple[Floats, Floats]:
    """Return PSI [W, F] and what each group adds to it [W, groups]; natural log, Jeffreys shares.

    0 = identical, unbounded above. `reference` is [1, groups] or [W, groups].
    """
    p, q = shares(gridset, reference), shares(gridset, current)
    parts = (q - p) * np.log(q / p)
    return np.asarray(per_feature(gridset, parts), dtype=np.float64), parts


def largest_psi(gridset: Gridset, reference: Ints, n: Ints) -> Floats:
    """Return the largest PSI [W, F] that n rows can reach: all of them in one group with r > 0.

    Parameters
    ----------
    reference
        [W, groups] or [1, groups] counts of the reference.
    n
        [W, F] values of each feature in the window.
    """
    owners, present, firsts = _flat(gridset)
    p = shares(gridset, reference)
    nothing = (0.5 / (n + gridset.B / 2))[:, owners]
    everything = ((n + 0.5) / (n + gridset.B / 2))[:, owners]
    base = (nothing - p) * np.log(nothing / p)
    swapped = (everything - p) * np.log(everything / p) - base
    swapped = np.where(reference > 0, swapped, -np.inf)
    out = np.zeros(n.shape)
    if len(present):
        best = np.maximum.reduceat(swapped, firsts, axis=1)
        out[:, present] = np.add.reduceat(base, firsts, axis=1) + best
    return out
