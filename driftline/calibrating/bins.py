"""The slices' whole profiles: what a reference does not keep, counted from its rows again.

Slices know their groups and rates. A fixed limit of any other distance needs every bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from driftline.errors import InvalidReference
from driftline.stats import frame as frames
from driftline.stats import slicing
from driftline.stats.calibration import Ints
from driftline.stats.reference import ALL, Reference, zone_of

# Rows counted at once: their codes of a hundred features are 50 MB.
_ROWS: Final = 1 << 16


def slice_profiles(
    reference: Reference, data: Any, length: str, *, sources: Mapping[str, str], timestamp: str
) -> Ints:
    """Count the rows of each full slice of a length, int64 [S, gridset.size].

    Parameters
    ----------
    data
        The frame that the reference was built of.
    sources
        Features whose column has another name, and that name.

    Raises
    ------
    InvalidReference
        `data` is no frame.
    """
    opened = frames.open_frame(data)
    grids = reference.gridset
    zone = zone_of(reference.timezone)
    columns = {}
    for feature in grids.features:
        source = sources.get(feature.name, feature.name)
        with frames.reading(source):
            columns[feature.name] = frames.read_column(
                frames.column_of(opened, source), feature.kind
            )
    with frames.reading(timestamp):
        times, has_time, _ = frames.read_times(
            frames.column_of(opened, timestamp), timestamp, zone, reference.timezone
        )
    if not has_time.any():
        raise InvalidReference(f"time column {timestamp!r} has no value in any row")
    cut = slicing.cut(times, has_time, zone)[length]
    starts = reference.slices[ALL][length].starts_ms
    place = np.searchsorted(starts, cut.starts_ms)
    is_slice = starts[np.minimum(place, len(starts) - 1)] == cut.starts_ms
    # The last entry is for rows without a time.
    pane_of = np.append(np.where(is_slice, place, -1), -1)
    pane = pane_of[cut.slice_of]
    total = np.zeros((len(starts), grids.size), np.int64)
    for start in range(0, len(opened), _ROWS):
        piece = {name: column.piece(start, start + _ROWS) for name, column in columns.items()}
        own = pane[start : start + _ROWS]
        # Rows of one piece lie in few slices: only these are counted.
        found, which = np.unique(own, return_inverse=True)
        keep = len(found) - int(found[0] < 0)
        if not keep:
            continue
        counted = grids.count(piece, len(own), which - int(found[0] < 0), keep)
        for number, profile in zip(found[found >= 0].tolist(), counted, strict=True):
            total[number] += profile.counts
    return total
