"""Which windows are due, looked for where something has changed since the last look.

An evaluator looks every few seconds, and a late event may change any window of the last week or
four: a version of twenty segments has ten thousand panes there. So it remembers what it saw: the
sum of revisions of each hour. Windows of hours that differ, and those that were not over then,
are all that can have become due, and only their panes and what was stored of them are read.

What is remembered holds while nobody else moved the version's cursor, and while the version is
judged by what it was judged by then. Everything is looked at otherwise, as by an evaluator that
has just begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from monitor.detect.plan import Due, PaneRevision, Stored, due_windows
from monitor.storage import evaluation as sql
from monitor.windows.calendar import window_of

# Stretches of time that are read one by one; more of them are read as one.
STRETCHES_AT_MOST = 8


class Asked(NamedTuple):
    """What of a version and gridset is looked at.

    Attributes
    ----------
    place
        Which of the version's references.
    judged_by
        What else says which windows are due: when it differs everything is looked at.
    epoch
        The cursor's.
    from_ms
        Where the first window begins that may be due.
    until_ms, revisable_from_ms
        As `due_windows` takes them.
    is_again
        Whether a replay counted anew what may lie long behind.
    """

    version_id: int
    place: tuple[str, int]
    gridset: str
    judged_by: object
    epoch: int
    from_ms: int
    until_ms: int
    revisable_from_ms: int
    lengths: Sequence[str]
    timezone: str
    is_again: bool


class Look(NamedTuple):
    """What was asked, and the hours that were there.

    Attributes
    ----------
    hours : int64 array [n, 4]
        Each as `sql.Hour`. Of weeks there are many, so they are kept narrow.
    """

    asked: Asked
    hours: NDArray[np.int64]


class Changes:
    """What an evaluator saw when it last looked at each version."""

    def __init__(self) -> None:
        self._seen: dict[int, list[Look]] = {}

    def due(self, conn: Connection, asked: Asked) -> tuple[list[Due], Look]:
        """Return the windows that are due, and what to `keep`; in one view of the database."""
        found = sql.pane_hours(conn, asked.version_id, asked.gridset, asked.from_ms, asked.until_ms)
        look = Look(asked, np.array(found, np.int64).reshape(-1, len(sql.Hour._fields)))
        seen = self._seen.get(asked.version_id, [])
        before = next((one for one in seen if _still_holds(one.asked, asked)), None)
        if before is None:
            return _due(conn, asked, [(asked.from_ms, asked.until_ms)], None), look
        windows = set(_touched(before, look))
        stretches = _stretches((start_ms, end_ms) for _, start_ms, end_ms in windows)
        only = {(length, start_ms) for length, start_ms, _ in windows}
        return _due(conn, asked, stretches, only), look

    def keep(self, version_id: int, looks: Sequence[Look], epoch: int) -> None:
        """Remember looks of which all that was due is written, and where the cursor is now."""
        self._seen[version_id] = [
            look._replace(asked=look.asked._replace(epoch=epoch)) for look in looks
        ]


def _still_holds(before: Asked, now: Asked) -> bool:
    """Whether whatever was due before was written, and is due again only where panes changed."""
    return (
        not now.is_again
        and (before.place, before.gridset, before.lengths, before.timezone)
        == (now.place, now.gridset, now.lengths, now.timezone)
        and (before.epoch, before.judged_by) == (now.epoch, now.judged_by)
        and before.from_ms <= now.from_ms
        and before.until_ms <= now.until_ms
        and before.revisable_from_ms <= now.revisable_from_ms
    )


def _touched(before: Look, look: Look) -> Iterator[tuple[str, int, int]]:
    """Yield the windows (length, start, end) that may be due now and were not before."""
    asked = look.asked
    was, now = (set(map(tuple, hours.tolist())) for hours in (before.hours, look.hours))
    changed = {start_ms for start_ms, *_ in was ^ now if start_ms >= asked.from_ms}
    for length in asked.lengths:
        found = {window_of(start_ms, length, asked.timezone) for start_ms in changed}
        # Those that were not over.
        window = window_of(before.asked.until_ms, length, asked.timezone)
        while window.end_ms <= asked.until_ms:
            found.add(window)
            window = window_of(window.end_ms, length, asked.timezone)
        for window in found:
            if window.start_ms >= asked.from_ms and window.end_ms <= asked.until_ms:
                yield length, window.start_ms, window.end_ms


def _stretches(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the time that spans cover, as few stretches.

    Examples
    --------
    >>> _stretches([(5, 6), (0, 2), (1, 3)])
    [(0, 3), (5, 6)]
    """
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out if len(out) <= STRETCHES_AT_MOST else [(out[0][0], out[-1][1])]


def _due(
    conn: Connection,
    asked: Asked,
    stretches: Sequence[tuple[int, int]],
    only: set[tuple[str, int]] | None,
) -> list[Due]:
    panes: list[PaneRevision] = []
    stored: dict[tuple[str, str, int], Stored] = {}
    for from_ms, to_ms in stretches:
        panes += sql.pane_revisions(conn, asked.version_id, asked.gridset, from_ms, to_ms)
        stored |= sql.stored_windows(conn, asked.version_id, asked.lengths, from_ms, to_ms)
    return due_windows(
        panes,
        stored,
        lengths=asked.lengths,
        timezone=asked.timezone,
        until_ms=asked.until_ms,
        revisable_from_ms=asked.revisable_from_ms,
        only=only,
    )
