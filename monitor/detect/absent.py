"""A feature that is not sent any more: the events lack its key, which somebody has to mend.

A key that is there without a value is a missing value; this is about the form of events.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distance import wilson
from driftline.stats.evidence import Z
from driftline.stats.judgement import Mark

# The statistic, and the kind of incident that it opens.
ABSENT: Final = "absent"
SCHEMA: Final = "schema"
# Absent from more than this share of so many rows at the least.
SHARE: Final = 0.95
MIN_ROWS: Final = 20

Ints = NDArray[np.int64]


def absent_marks(absent: Ints, rows: Ints, own_missing: Ints, own_rows: int) -> NDArray[np.uint8]:
    """Return the marks [W, F, 2] of features whose key is absent; both levels are the same.

    Many who log leave out what is null. So a feature that the reference mostly misses, too,
    must be absent beyond what chance makes of that: Wilson's lower bound (99.9 %) must be above
    the reference's own share.

    Parameters
    ----------
    absent
        [W, F] Rows without the key.
    rows
        [W] All rows.
    own_missing, own_rows
        [F] The reference's rows without a value, and all of its rows.

    Examples
    --------
    >>> marks = absent_marks(
    ...     np.array([[20, 20, 19]]), np.array([20]), np.array([0, 99, 0]), 100
    ... )
    >>> marks[0, :, 0].tolist()
    [3, 1, 1]
    """
    n = np.broadcast_to(rows[:, None], absent.shape)
    sure, _ = wilson(absent, np.maximum(n, 1), Z)
    exceeds = (absent > SHARE * n) & (sure > own_missing / max(own_rows, 1))
    mark = np.where(exceeds, Mark.EXCEEDS, Mark.CLEAR).astype(np.uint8)
    mark[n < MIN_ROWS] = Mark.NOT_EVALUABLE
    return np.stack([mark, mark], axis=-1)
