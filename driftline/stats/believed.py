"""Counts that came from elsewhere, believed only after a look at them: they must add up.

A reference's document and uploaded history are written by others' processes. What adds up may
still be wrong; what does not would make every later sum wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from driftline.stats.grid import CLIP_BITS
from driftline.stats.gridset import Gridset
from driftline.stats.profile import COUNTERS, Profile

MAX_ROWS: Final = 1 << 48
# Zero and negative count values that are in bins too.
_EXCLUSIVE: Final = len(COUNTERS) - 2


def fault_of(gridset: Gridset, profile: Profile, what: str = "the profile") -> str | None:
    """Return why these can be no counts of rows on a gridset, None where they can.

    Examples
    --------
    >>> from driftline.stats.gridset import Gridset
    >>> empty = Gridset(())
    >>> fault_of(empty, Profile.empty(empty))
    >>> broken = Profile.empty(empty)
    >>> broken.counts[0] = -1
    >>> fault_of(empty, broken)
    'a count in the profile is negative'
    """
    counts = profile.counts
    if np.isnan(profile.low).any() or np.isnan(profile.high).any():
        return f"a range in {what} is NaN"
    if (counts < 0).any():
        return f"a count in {what} is negative"
    if (counts > counts[0]).any() or counts[0] > MAX_ROWS:
        return f"a count in {what} is above its number of rows"
    for f, feature in enumerate(gridset.features):
        values = int(counts[gridset.bins[f]].sum())
        others = int(counts[gridset.counters[f, :_EXCLUSIVE]].sum())
        also = int(counts[gridset.counters[f, _EXCLUSIVE:]].sum())
        total = values + others
        wrong = total > counts[0] if feature.grid is None else total != counts[0]
        if wrong or also > values:
            return f"the counts of {feature.name!r} in {what} do not add up to its rows"
    if profile.sums is not None:
        # No value is larger in quanta, and of the first counter's place it counts the clipped.
        most = counts.astype(np.float64) * float(1 << CLIP_BITS)
        most[gridset.counters[:, 0]] = counts[0]
        if (np.abs(profile.sums.astype(np.float64)) > most).any():
            return f"a sum in {what} is beyond what its values can add up to"
    return None
