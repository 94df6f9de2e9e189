"""Months made of days that were seen: in which order windows come, and what the fold tells.

Whole days (or weeks) are drawn in runs of neighbours, weekdays in the place of weekdays, so
that what lasts for some days lasts here, too. Marks go through the rule's own fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.episodes import QUIET, step
from driftline.stats.judgement import Mark

Ints = NDArray[np.int64]
Marks = NDArray[np.uint8]

# Days in a row that a run has on average: a weather lasts about as long.
RUN: Final = 5
_WEEK: Final = 7
_WEEKDAYS: Final = 5


@dataclass(frozen=True)
class Told:
    """What a stretch of windows told of one statistic.

    Attributes
    ----------
    opened
        Episodes that opened.
    open_windows
        Windows during which one was open, the one that opened it included.
    first
        Place of the window that opened the first; -1 where none did.
    """

    opened: int
    open_windows: int
    first: int


NOTHING: Final = Told(0, 0, -1)


def fold(
    marks: Marks, starts_ms: Ints, ends_ms: Ints, nominal_ms: int, *, is_first_enough: bool = False
) -> Told:
    """Fold the marks of one statistic [T] over windows in the order of their starts.

    Parameters
    ----------
    is_first_enough
        Stop at the first episode.
    """
    exceeding = np.flatnonzero(marks == Mark.EXCEEDS)
    if len(exceeding) < 2:  # one window never fires
        return NOTHING
    opened, open_windows, first = 0, 0, -1
    state, place = QUIET, int(exceeding[0])
    while place < len(marks):
        was_open = state.latch is not None
        state, ended = step(
            state, int(starts_ms[place]), int(ends_ms[place]), int(marks[place]), nominal_ms
        )
        if state.latch is not None:
            open_windows += 1
            if not was_open or ended is not None:
                opened += 1
                first = place if first < 0 else first
                if is_first_enough:
                    break
        if state.is_quiet:
            # Until the next window that exceeds nothing changes.
            following = int(np.searchsorted(exceeding, place, side="right"))
            if following == len(exceeding):
                break
            place = int(exceeding[following])
        else:
            place += 1
    return Told(opened, open_windows, first)


def runs(
    draw: np.random.Generator,
    n: int,
    is_weekend: NDArray[np.bool_] | None,
    weight: Ints,
    first: int = 0,
) -> Ints:
    """Return which of U seen days (or weeks) stands at each of n places, in runs of neighbours.

    Parameters
    ----------
    is_weekend : bool array [U], or None
        A day stands only where one of its kind does; place 0 is a Monday, and so on. None where
        no kinds are told apart.
    weight : int64 array [U]
        How often a run may begin with each.
    first
        Weekday of place 0, 0 = Monday.

    Returns
    -------
    int64 array [n]
    """
    size = len(weight)
    kinds = np.zeros(size, np.bool_) if is_weekend is None else is_weekend
    begins = {}
    for kind in (False, True):
        here = weight * (kinds == kind)
        # A stretch of weekdays alone has no weekend to offer.
        here = here if here.any() else (kinds == kind).astype(np.int64)
        here = here if here.any() else weight
        begins[kind] = here.cumsum()
    jumps = draw.random(n) < 1 / RUN
    uniform = draw.random(n)
    out = np.empty(n, np.int64)
    at = -1
    for place in range(n):
        kind = is_weekend is not None and (first + place) % _WEEK >= _WEEKDAYS
        at += 1
        if place == 0 or jumps[place] or at >= size or bool(kinds[at]) != kind:
            bounds = begins[kind]
            at = int(np.searchsorted(bounds, int(uniform[place] * bounds[-1]), side="right"))
        out[place] = at
    return out
