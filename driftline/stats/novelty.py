"""What a reference expects of categories it has never seen.

An open vocabulary (postcodes, products, search terms) brings new values in every window. The
reference itself has none, because it knows all of its own; compared with that, the PSI of a
window in which nothing changed is large and stays so. What it has to expect it can tell: of each
of its slices, the share of values that no other slice has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distance import MIN_ROWS_PSI
from driftline.stats.grid import NAMED_GROUPS, CategoricalGrid
from driftline.stats.gridset import Gridset
from driftline.stats.groups import per_feature
from driftline.stats.lengths import LENGTHS, MIN_SLICES
from driftline.stats.reference import Reference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A share below the least that is ever told of unseen values (3.3 of the rule) is none.
LEAST: Final = 0.005


@lru_cache(maxsize=256)
def expected(reference: Reference, segment: str, length: str) -> Floats:
    """Return the share of never seen values that a usual window brings.

    Parameters
    ----------
    length
        Of the window. Where the reference has fewer than eight slices of it with the values
        that PSI needs, the longest length that has them answers.

    Returns
    -------
    float array [F]
        In [0, 1]; 0 for what is no category, where no length answers, and below .5 %.
    """
    n_features = len(reference.gridset.features)
    share = np.full(n_features, np.nan)
    by_length = reference.slices.get(segment, {})
    for name in (length, *reversed(LENGTHS)):
        slices = by_length.get(name)
        if slices is None or not len(slices.rows):
            continue
        values = per_feature(reference.gridset, slices.groups.astype(np.int64))
        enough = values >= MIN_ROWS_PSI
        of_each = np.where(enough, slices.unseen / np.maximum(values, 1), 0.0)
        taken = np.isnan(share) & (enough.sum(axis=0) >= MIN_SLICES)
        share[taken] = (of_each.sum(axis=0) / np.maximum(enough.sum(axis=0), 1))[taken]
    share[np.isnan(share) | (share < LEAST)] = 0.0
    share[reference.gridset.unseen < 0] = 0.0
    return share


def expecting(grids: Gridset, groups: Ints, share: Floats) -> Ints:
    """Return the reference's groups [..., groups] with the new values that it has to expect.

    They are taken from the group of the rare known levels, of which they are, and the sums
    stay the same.

    Parameters
    ----------
    share
        [F] As `expected` returns it.
    """
    out = groups
    for f in np.flatnonzero(share):
        rare = _rare(grids, int(f))
        if rare is None:
            continue
        span = grids.groups[f]
        own = groups[..., span]
        moved = np.minimum(np.rint(share[f] * own.sum(axis=-1)).astype(np.int64), own[..., rare])
        out = groups.copy() if out is groups else out
        out[..., span.start + rare] -= moved
        out[..., span.stop - 1] += moved
    return out


def as_others_know(grids: Gridset, groups: Ints, rest: Ints, unseen: Ints) -> Ints:
    """Return the groups of slices [S, groups] with what no other slice has as unseen.

    So a slice looks as a live window with the same values would. Groups that the rest has
    nothing in tell it already; what else is new is in the group of the rare levels.

    Parameters
    ----------
    rest
        [S, groups] What each is compared with.
    unseen
        [S, F] Values of each slice that no other has; those of live windows are counted as
        unseen already.
    """
    out = groups
    for f in np.flatnonzero(unseen.any(axis=0)):
        rare = _rare(grids, int(f))
        if rare is None:
            continue
        span = grids.groups[f]
        own, others = groups[:, span], rest[:, span]
        told = own[:, -1] + np.where(others == 0, own, 0)[:, :-1].sum(axis=1)
        moved = np.clip(unseen[:, f] - told, 0, np.where(others[:, rare] > 0, own[:, rare], 0))
        out = groups.copy() if out is groups else out
        out[:, span.start + rare] -= moved
        out[:, span.stop - 1] += moved
    return out


def _rare(grids: Gridset, f: int) -> int | None:
    """Return the group of a feature's rare known levels; None where each has its own."""
    feature = grids.features[f]
    grid = feature.grid
    if not isinstance(grid, CategoricalGrid):
        return None
    rare = feature.n_groups - 2
    if rare >= NAMED_GROUPS or (not grid.is_hashed and feature.groups[grid.other] == rare):
        return rare
    return None
