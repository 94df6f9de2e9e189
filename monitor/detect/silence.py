"""Silence: a model that had predictions has none, for longer than it ever paused of late.

A function of the hours that had predictions, and of a clock of event time that says up to when
all of them are known. So a replay finds what was found live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.lengths import DAY_MS, HOUR_MS

VOLUME: Final = "volume"
# The pauses of so long say which pause is usual.
HISTORY_MS: Final = 28 * DAY_MS
# A week and a day: whoever rests at weekends has rested once.
KNOWN_MS: Final = 8 * DAY_MS
LEAST_MS: Final = HOUR_MS
# After so long a model is not silent: it has ended.
ENDS_MS: Final = 28 * DAY_MS


@dataclass(frozen=True)
class Silence:
    """One stretch without predictions.

    Attributes
    ----------
    since_ms
        End of the last pane that had any.
    usual_ms
        The longest pause of the 28 days before, at most: panes say the hour, not the minute.
    sure_ms
        When it had lasted for too long.
    until_ms
        Start of the next pane that has any, or when it was over otherwise; None while it lasts.
    is_ended
        Whether it lasted until nobody waited for predictions any more.
    """

    since_ms: int
    usual_ms: int
    sure_ms: int
    until_ms: int | None
    is_ended: bool = False


def silences(starts_ms: NDArray[np.int64], pane_ms: int, clock_ms: int) -> list[Silence]:
    """Return the silences after panes, oldest first.

    Parameters
    ----------
    starts_ms
        Starts of the panes with predictions, ascending and distinct.
    clock_ms
        Event time up to which predictions are known.

    Examples
    --------
    >>> hours = np.arange(0, 240) * HOUR_MS  # ten days, an hour after the other
    >>> silences(hours, HOUR_MS, 242 * HOUR_MS - 1)
    []
    >>> found = silences(np.append(hours, 250 * HOUR_MS), HOUR_MS, 260 * HOUR_MS)
    >>> [(s.since_ms // HOUR_MS, s.sure_ms // HOUR_MS, s.until_ms // HOUR_MS) for s in found]
    [(240, 242, 250)]
    """
    out: list[Silence] = []
    if len(starts_ms) < 2:
        return out
    pauses = np.diff(starts_ms)
    nexts = np.append(starts_ms[1:], np.iinfo(np.int64).max)
    waited = np.minimum(nexts, clock_ms) - (starts_ms + pane_ms)
    for at in np.flatnonzero(waited >= LEAST_MS).tolist():
        last = int(starts_ms[at])
        if last - starts_ms[0] < KNOWN_MS:
            continue
        before = starts_ms[:at] >= last - HISTORY_MS
        usual = int(pauses[:at][before].max()) if before.any() else HISTORY_MS
        since = last + pane_ms
        sure = since + max(LEAST_MS, 2 * usual)
        if min(int(nexts[at]), clock_ms) < sure:
            continue
        ends = since + ENDS_MS
        if nexts[at] <= min(clock_ms, ends):
            out.append(Silence(since, usual, sure, int(nexts[at])))
        elif clock_ms >= ends and sure < ends:
            out.append(Silence(since, usual, sure, ends, is_ended=True))
        elif sure < ends:
            out.append(Silence(since, usual, sure, None))
    return out
