"""Panes: the smallest slices of event time that are stored.

How long one is the model's zone says (`driftline.stats.panes`).
"""

from __future__ import annotations

from driftline.stats.lengths import HOUR_MS
from driftline.stats.panes import QUARTER_MS, pane_ms_of

__all__ = ["HOUR_MS", "QUARTER_MS", "pane_ms_of", "pane_start"]


def pane_start(time_ms: int, pane_ms: int) -> int:
    """Return the start of the pane that holds `time_ms`.

    Examples
    --------
    >>> pane_start(3_600_001, HOUR_MS)
    3600000
    """
    return time_ms - time_ms % pane_ms
