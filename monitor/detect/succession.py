"""Who took over from whom: a version whose successor answers is judged no longer.

A function of promotions, of the hours in which versions had predictions and of a clock of event
time up to which all of them are known; so a replay finds what was found live, in whatever order
it learns of it. A version is relieved where it has no predictions of its own any more while one
that was promoted in its place has: from the start of the successor's first pane in that pause.
While both have predictions, as with a canary, each is judged.

A pause is told from the usual ones (nights, weekends) as a silence is: by the longest pause of
the 28 days before. Until it is known for sure, the version's incidents stand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from driftline.stats.episodes import KEPT, Latch
from driftline.stats.lengths import DAY_MS, HOUR_MS, NOMINAL_MS
from monitor.detect.incidents import Member
from monitor.detect.silence import HISTORY_MS, KNOWN_MS

# Versions younger than that have not shown which pauses they have: nights are pauses.
UNKNOWN_MS: Final = DAY_MS
LEAST_MS: Final = HOUR_MS
SUPERSEDED: Final = "superseded"


class Promoted(Protocol):
    """A promotion, as far as it says who follows whom."""

    @property
    def id(self) -> int:
        """What tells it from others."""

    @property
    def version_id(self) -> int:
        """What was made live."""

    @property
    def replaces_version_id(self) -> int | None:
        """What it replaces, if anything."""

    @property
    def effective_ms(self) -> int:
        """From when on, in event time."""


@dataclass(frozen=True, slots=True)
class Successor:
    """A version that may relieve another in `[from_ms, until_ms)`; None = for good."""

    version_id: int
    from_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Takeover:
    """A stretch of event time in which a version was relieved.

    Attributes
    ----------
    since_ms
        Start of the first pane that only the successor has.
    sure_ms
        When its own pause had lasted for too long to be a usual one.
    until_ms
        Start of the first pane that it has again; None without one.
    by_version_id
        Who took over.
    """

    since_ms: int
    sure_ms: int
    until_ms: int | None
    by_version_id: int


def successors_of(version_id: int, promotions: Sequence[Promoted]) -> list[Successor]:
    """Return who may relieve a version, directly or by relieving its successor.

    Nobody does any longer from when on it is promoted again.
    """
    follows: dict[int, list[Promoted]] = {}
    again: list[int] = []
    for promotion in sorted(promotions, key=lambda p: p.effective_ms):
        if promotion.version_id == version_id:
            again.append(promotion.effective_ms)
        elif promotion.replaces_version_id is not None:
            follows.setdefault(promotion.replaces_version_id, []).append(promotion)
    found: list[Successor] = []
    seen: set[int] = set()
    # The earliest first: whoever is reached again later relieves nobody sooner.
    by_id = {promotion.id: promotion for promotion in promotions}
    ways = [(p.effective_ms, p.id) for p in follows.get(version_id, [])]
    heapify(ways)
    while ways:
        start_ms, number = heappop(ways)
        if number in seen:
            continue
        seen.add(number)
        promotion = by_id[number]
        at = bisect_right(again, promotion.effective_ms)
        until_ms = again[at] if at < len(again) else None
        if until_ms is not None and until_ms <= start_ms:
            continue
        found.append(Successor(promotion.version_id, start_ms, until_ms))
        for other in follows.pop(promotion.version_id, []):
            heappush(ways, (max(start_ms, other.effective_ms), other.id))
    return sorted(found, key=lambda s: (s.from_ms, s.version_id))


def takeovers(
    own_ms: NDArray[np.int64],
    successors: Iterable[tuple[Successor, NDArray[np.int64]]],
    pane_ms: int,
    clock_ms: int,
) -> list[Takeover]:
    """Return the stretches in which a version was relieved, oldest first.

    Parameters
    ----------
    own_ms
        Starts of the version's panes with predictions, ascending and distinct.
    successors
        Each with the starts of its own panes, ascending.
    clock_ms
        Event time up to which predictions are known.

    Examples
    --------
    >>> own = np.arange(0, 240) * HOUR_MS  # ten days, an hour after the other
    >>> new = np.arange(236, 300) * HOUR_MS
    >>> heir = Successor(2, 230 * HOUR_MS, None)
    >>> takeovers(own, [(heir, new)], HOUR_MS, 241 * HOUR_MS)
    []
    >>> (found,) = takeovers(own, [(heir, new)], HOUR_MS, 242 * HOUR_MS)
    >>> (found.since_ms // HOUR_MS, found.sure_ms // HOUR_MS, found.until_ms)
    (240, 242, None)
    """
    own_ms = own_ms[own_ms < clock_ms]
    heirs = [(heir, starts[starts < clock_ms]) for heir, starts in successors]
    found: list[Takeover] = []
    if not len(own_ms) or not heirs:
        return found
    pauses = np.diff(own_ms)
    nexts = np.append(own_ms[1:], clock_ms)
    waited = nexts - (own_ms + pane_ms)
    for at in np.flatnonzero(waited >= LEAST_MS).tolist():
        since_ms, end_ms = int(own_ms[at]) + pane_ms, int(nexts[at])
        taken = [
            (start_ms, -heir.from_ms, heir.version_id)
            for heir, starts in heirs
            if (start_ms := _first(starts, max(since_ms, heir.from_ms), heir.until_ms)) is not None
            and start_ms < end_ms
        ]
        if not taken:
            continue
        start_ms, _, by = min(taken)
        sure_ms = max(since_ms + _usual_ms(own_ms, pauses, at), start_ms + pane_ms)
        if end_ms >= sure_ms:
            until_ms = end_ms if at + 1 < len(own_ms) else None
            found.append(Takeover(start_ms, sure_ms, until_ms, by))
            if until_ms is not None:
                pauses[at] = pane_ms  # it did not rest: it was relieved
    return found


def _first(starts: NDArray[np.int64], from_ms: int, until_ms: int | None) -> int | None:
    at = int(np.searchsorted(starts, from_ms))
    if at == len(starts) or (until_ms is not None and starts[at] >= until_ms):
        return None
    return int(starts[at])


def _usual_ms(own_ms: NDArray[np.int64], pauses: NDArray[np.int64], at: int) -> int:
    """Return how long a pause after the pane at `at` must last to be none of the usual ones."""
    last = int(own_ms[at])
    before = pauses[:at][own_ms[:at] >= last - HISTORY_MS]
    usual = int(before.max()) if len(before) else 0
    least = LEAST_MS if last - int(own_ms[0]) >= KNOWN_MS else UNKNOWN_MS
    return max(least, 2 * usual)


def relieved(members: Iterable[Member], found: Sequence[Takeover]) -> list[Member]:
    """Return what is left of latches where their version was relieved.

    One that stood when another version took over ends there. One that opens once that is known
    for sure is none of this version's. Where the version has predictions again, a latch begins
    anew with two exceeding windows from then on.
    """
    out: list[Member] = []
    for member in members:
        pieces = [member]
        for takeover in found:
            last = pieces.pop() if pieces else None
            if last is not None:
                pieces += _around(last, takeover)
        out += pieces
    return out


def _around(member: Member, takeover: Takeover) -> list[Member]:
    """Return what of a latch lies before a takeover and what after it, of each at most one."""
    latch = member.latch
    closed_ms, until_ms = latch.closed_ms, takeover.until_ms
    if closed_ms is not None and closed_ms <= takeover.since_ms:
        return [member]
    if until_ms is not None and latch.opened_ms >= until_ms:
        return [member]
    out = []
    if latch.opened_ms < takeover.sure_ms:
        # What nobody could know yet ends where it began.
        ended_ms = max(takeover.since_ms, latch.opened_ms)
        before = [window for window in latch.exceeding if window[1] <= ended_ms]
        ended = replace(
            latch,
            exceeding=tuple(before) or latch.exceeding[:1],
            last_ms=min(latch.last_ms, ended_ms),
            closed_ms=ended_ms,
            closed_as=SUPERSEDED,
        )
        out.append(replace(member, latch=ended, clear_count=0))
    if until_ms is not None:
        again = _again(latch, until_ms, NOMINAL_MS[member.length])
        if again is not None:
            out.append(replace(member, latch=again))
    return out


def _again(latch: Latch, from_ms: int, nominal_ms: int) -> Latch | None:
    """Return what of a latch lies after its version came back: two exceeding windows open it."""
    after = tuple(window for window in latch.exceeding if window[0] >= from_ms)
    if len(after) >= 2:
        return replace(latch, opened_ms=after[1][1], exceeding=after)
    # Of a long one the later windows are not kept; that there were any is.
    last = latch.exceeding[-1]
    opened_ms = max(from_ms + 2 * nominal_ms, last[1])
    if len(latch.exceeding) < KEPT or latch.last_ms < opened_ms or latch.last_ms == last[1]:
        return None
    return replace(latch, opened_ms=opened_ms, exceeding=(last,))
