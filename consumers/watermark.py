"""The watermark's raw material: how far a partition's event time has come.

One event with a wrong clock must not close a year of windows. So a step of
more than a day is believed only when 100 consecutive records, in offset order,
agree that time has come that far; the first of all events is believed at once.
Everything here depends on the records and their order alone, never on how
they were cut into batches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP_MS: Final = 86_400_000
AGREEING: Final = 100
# An event this far behind its partition's newest is counted as late (it is profiled all the same).
LATE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Progress:
    """A partition's newest believed event time, and the step that waits for belief.

    Attributes
    ----------
    max_ms
        None before the first event.
    waiting
        Consecutive records so far that lie more than a day ahead.
    floor_ms
        The earliest of them: what they all agree on.
    """

    max_ms: int | None = None
    waiting: int = 0
    floor_ms: int = 0

    def pending(self) -> str | None:
        """Return the waiting step as JSON for `stream_position.pending_advance`."""
        if not self.waiting:
            return None
        return json.dumps({"waiting": self.waiting, "floor_ms": self.floor_ms})

    @classmethod
    def restore(cls, max_ms: int | None, pending: str | None) -> Progress:
        """Return the progress that a position row holds."""
        if not pending:
            return cls(max_ms)
        found = json.loads(pending)
        return cls(max_ms, int(found["waiting"]), int(found["floor_ms"]))


def advance(progress: Progress, times_ms: NDArray[np.int64]) -> tuple[Progress, NDArray[np.bool_]]:
    """Return the progress after the events, and which of them were late.

    Parameters
    ----------
    progress
        Where the partition stood.
    times_ms
        Event times of the admitted events in offset order.

    Examples
    --------
    >>> advance(Progress(), np.array([10, 30, 20]))
    (Progress(max_ms=30, waiting=0, floor_ms=0), array([False, False, False]))
    """
    if times_ms.size == 0:
        return progress, np.zeros(0, dtype=bool)
    start = int(times_ms[0]) if progress.max_ms is None else progress.max_ms
    before = np.maximum.accumulate(np.concatenate(([start], times_ms)))[:-1]
    if not progress.waiting and bool((times_ms <= before + STEP_MS).all()):
        return Progress(max(start, int(times_ms.max()))), times_ms < before - LATE_MS
    return _advance_one_by_one(start, progress.waiting, progress.floor_ms, times_ms.tolist())


def _advance_one_by_one(
    newest: int, waiting: int, floor: int, times: list[int]
) -> tuple[Progress, NDArray[np.bool_]]:
    late = np.zeros(len(times), dtype=bool)
    for i, time in enumerate(times):
        if time <= newest + STEP_MS:
            late[i] = time < newest - LATE_MS
            newest, waiting = max(newest, time), 0
            continue
        floor = min(floor, time) if waiting else time
        waiting += 1
        if waiting == AGREEING:
            newest, waiting = floor, 0
    return Progress(newest, waiting, floor if waiting else 0), late
