"""Which profile each row is counted into: its pane's, and its segment's within that.

The one place that says it, for the stream and for whoever counts history elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.rows import Rows, segments
from driftline.stats.reference import ALL, OTHER, Reference


def cells(
    reference: Reference, parts: Sequence[Rows], starts: NDArray[np.int64]
) -> Iterator[tuple[list[tuple[int, str]], NDArray[np.int64]]]:
    """Yield the profiles that rows are counted into: all segments together, then each dimension's.

    Parameters
    ----------
    starts : int64 array [rows]
        Where each row's pane begins, epoch ms.

    Yields
    ------
    keys : list of (start of the pane, segment)
        Those that have rows; the first list is of "all", whose profiles have sums.
    cell_of : int64 array [rows]
        Place of each row's among `keys`.
    """
    panes, pane_of = np.unique(starts, return_inverse=True)
    yield [(start, ALL) for start in panes.tolist()], pane_of
    for dimension, allowed in reference.dimensions.items():
        values = segments(parts, dimension, {name: i for i, name in enumerate(allowed)})
        names = [f"{dimension}={name}" for name in (*allowed, OTHER)]
        found, cell_of = np.unique(pane_of * len(names) + values, return_inverse=True)
        places = (divmod(cell, len(names)) for cell in found.tolist())
        yield [(int(panes[pane]), names[value]) for pane, value in places], cell_of
