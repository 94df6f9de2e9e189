"""The watermark's raw material: how far a partition's event time has come.

One event with a wrong clock must not close a year of windows. So a step of
more than a day is believed only when 100 consecutive records, in offset order,
agree that time has come that far; the first of all events is believed at once.
The earliest of them is what all agree on, and from there time goes on among
them as it does among others, by a day at most: 100 records of a quiet model
take days, and the next one would be a step of more than a day again.
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
    """A partition's newest believed event time, and the steps that wait for belief.

    Attributes
    ----------
    max_ms
        None before the first event.
    waiting_ms
        Event times of the last records in offset order, all more than a day ahead;
        fewer than `AGREEING`.
    """

    max_ms: int | None = None
    waiting_ms: tuple[int, ...] = ()

    def pending(self) -> str | None:
        """Return what waits as JSON for `stream_position.pending_advance`."""
        return json.dumps({"waiting_ms": self.waiting_ms}) if self.waiting_ms else None

    @classmethod
    def restore(cls, max_ms: int | None, pending: str | None) -> Progress:
        """Return the progress that a position row holds."""
        if not pending:
            return cls(max_ms)
        found = json.loads(pending)
        if "floor_ms" in found:  # as written before all were kept: how many, and the earliest
            return cls(max_ms, (int(found["floor_ms"]),) * int(found["waiting"]))
        return cls(max_ms, tuple(int(time) for time in found["waiting_ms"]))


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
    (Progress(max_ms=30, waiting_ms=()), array([False, False, False]))
    """
    if times_ms.size == 0:
        return progress, np.zeros(0, dtype=bool)
    start = int(times_ms[0]) if progress.max_ms is None else progress.max_ms
    before = np.maximum.accumulate(np.concatenate(([start], times_ms)))[:-1]
    if not progress.waiting_ms and bool((times_ms <= before + STEP_MS).all()):
        return Progress(max(start, int(times_ms.max()))), times_ms < before - LATE_MS
    return _advance_one_by_one(start, list(progress.waiting_ms), times_ms.tolist())


def _advance_one_by_one(
    newest: int, waiting: list[int], times: list[int]
) -> tuple[Progress, NDArray[np.bool_]]:
    late = np.zeros(len(times), dtype=bool)
    for i, time in enumerate(times):
        if time <= newest + STEP_MS:
            late[i] = time < newest - LATE_MS
            newest = max(newest, time)
            waiting.clear()
            continue
        waiting.append(time)
        if len(waiting) == AGREEING:
            newest = _agreed(waiting)
            settled = max(i for i, time in enumerate(waiting) if time <= newest + STEP_MS)
            del waiting[: settled + 1]
    return Progress(newest, tuple(waiting)), late


def _agreed(times: list[int]) -> int:
    """Return how far time has come: from the earliest on, in steps of a day at most."""
    newest = min(times)
    for time in sorted(times):
        if time > newest + STEP_MS:
            break
        newest = time
    return newest
