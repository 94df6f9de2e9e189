"""From marks to latches: two of the last three windows fire, three clear ones in a row end it.

A fold over the windows of one length in the order of their starts. The state
after each window is a plain value, so that judging an earlier window again
means folding again from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from driftline.stats.judgement import Mark

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# How many windows "the last three" may reach back over windows that could not be judged.
REACH = 12
CLEAR_AFTER = 3
# An episode's exceeding windows are kept up to here: enough to tell what it overlaps.
KEPT = 64


@dataclass(frozen=True)
class Latch:
    """A stretch of windows in which one statistic was above its limit, 2 of 3.

    Attributes
    ----------
    opened_ms
        End of the window that latched it: when it could first be told.
    exceeding
        (start, end) of the exceeding windows, the first 64 of them, from the
        first one that counted.
    last_ms
        End of the last exceeding window.
    closed_ms, closed_as
        When it ended, and whether it `cleared` or `expired`; None while open.
    """

    opened_ms: int
    exceeding: tuple[tuple[int, int], ...]
    last_ms: int
    closed_ms: int | None = None
    closed_as: str | None = None


@dataclass(frozen=True)
class State:
    """What the fold remembers of one statistic and level after a window.

    `ring` holds (start, end, exceeds) of the last evaluable windows, at most
    three, from the first exceeding one: windows before that change nothing.
    """

    ring: tuple[tuple[int, int, bool], ...] = ()
    latch: Latch | None = None
    clear_count: int = 0
    last_evaluable_ms: int = 0

    @property
    def is_quiet(self) -> bool:
        """Whether forgetting this state changes nothing."""
        return self.latch is None and not self.ring

    def to_json(self) -> list[Any]:
        """Return a compact form JSON can hold."""
        latch = self.latch
        kept = None if latch is None else [latch.opened_ms, latch.exceeding, latch.last_ms]
        return [self.ring, kept, self.clear_count, self.last_evaluable_ms]

    @classmethod
    def from_json(cls, body: list[Any]) -> State:
        """Read `to_json`'s form back."""
        ring, latch, clear_count, last_evaluable_ms = body
        return cls(
            ring=tuple((start, end, bool(exceeds)) for start, end, exceeds in ring),
            latch=None
            if latch is None
            else Latch(latch[0], tuple((a, b) for a, b in latch[1]), latch[2]),
            clear_count=clear_count,
            last_evaluable_ms=last_evaluable_ms,
        )


QUIET = State()


def step(
    state: State, start_ms: int, end_ms: int, mark: int, nominal_ms: int
) -> tuple[State, Latch | None]:
    """Fold one more window in; return the new state and the latch that ended here, if one did.

    Parameters
    ----------
    mark
        The window's `Mark`.
    nominal_ms
        The length of a usual window: a day of 23 hours is still a day.
    """
    ended = None
    if state.latch is not None and end_ms - state.last_evaluable_ms > expires_after(nominal_ms):
        ended = expire(state.latch, state.last_evaluable_ms, nominal_ms)
        state = QUIET
    if mark == Mark.NOT_EVALUABLE:
        return state, ended
    exceeds = mark == Mark.EXCEEDS
    # An hour of slack: the clock change moves starts by as much.
    reach_ms = REACH * nominal_ms + HOUR_MS
    ring = [entry for entry in state.ring if start_ms - entry[0] <= reach_ms]
    ring = [*ring, (start_ms, end_ms, exceeds)][-3:]
    while ring and not ring[0][2]:
        ring.pop(0)
    latch, clear_count = state.latch, 0
    if latch is None:
        over = [(start, end) for start, end, above in ring if above]
        if len(over) >= 2:
            latch = Latch(opened_ms=end_ms, exceeding=tuple(over), last_ms=end_ms)
    elif exceeds:
        exceeding = latch.exceeding
        if len(exceeding) < KEPT:
            exceeding = (*exceeding, (start_ms, end_ms))
        latch = replace(latch, exceeding=exceeding, last_ms=end_ms)
    elif mark == Mark.CLEAR:
        clear_count = state.clear_count + 1
        if clear_count == CLEAR_AFTER:
            return QUIET, replace(latch, closed_ms=end_ms, closed_as="cleared")
    return State(tuple(ring), latch, clear_count, end_ms), ended


def expires_after(nominal_ms: int) -> int:
    """Return after how long without an evaluable window a latch expires, in ms."""
    # The week across the clock change has 169 hours.
    return max(7 * DAY_MS, 3 * nominal_ms) + HOUR_MS


def expire(latch: Latch, last_evaluable_ms: int, nominal_ms: int) -> Latch:
    """Return `latch` ended because nothing could be judged for too long."""
    closed_ms = last_evaluable_ms + expires_after(nominal_ms)
    return replace(latch, closed_ms=closed_ms, closed_as="expired")
