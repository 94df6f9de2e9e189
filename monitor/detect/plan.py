"""Which windows are to be judged now: new ones that are over, and stale ones.

A window is stale when its panes were written since it was judged: the sum of
their revisions differs from the one that its findings were made from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from monitor.windows.calendar import window_of

All = tuple[str, str, int]  # length, segment, start_ms


class PaneRevision(NamedTuple):
    """One pane of one segment over all partitions; `is_day` where hours were added up to it."""

    start_ms: int
    segment: str
    rev: int
    is_day: bool = False


class Due(NamedTuple):
    """A window to judge; `revision` is the number its findings will carry."""

    length: str
    segment: str
    start_ms: int
    end_ms: int
    revision: int


class Stored(NamedTuple):
    """What was stored of a window when it was last judged."""

    rev_sum: int
    revision: int


def due_windows(
    panes: Iterable[PaneRevision],
    stored: Mapping[All, Stored],
    *,
    lengths: Sequence[str],
    timezone: str,
    until_ms: int,
    revisable_from_ms: int,
    only: Collection[tuple[str, int]] | None = None,
) -> list[Due]:
    """Return the windows to judge, by length, segment and start.

    Parameters
    ----------
    panes
        Revisions of every pane that a window in question may hold. Of days that were added up
        no hour can be judged any more.
    until_ms
        Windows that end later are not over.
    revisable_from_ms
        Judged windows that ended before are left as they are.
    only
        Windows (length, start) of which all panes are given; None for all.
    """
    by_segment: dict[str, list[PaneRevision]] = {}
    for pane in panes:
        by_segment.setdefault(pane.segment, []).append(pane)
    due = []
    for length in lengths:
        for segment, members in sorted(by_segment.items()):
            sums: dict[tuple[int, int], int] = {}
            window = None
            for pane in sorted(members):
                if pane.is_day and length == "hour":
                    continue
                if window is None or pane.start_ms >= window.end_ms:
                    window = window_of(pane.start_ms, length, timezone)
                sums[window] = sums.get(window, 0) + pane.rev
            for (start_ms, end_ms), rev_sum in sums.items():
                if end_ms > until_ms or (only is not None and (length, start_ms) not in only):
                    continue
                before = stored.get((length, segment, start_ms))
                if before is None:
                    due.append(Due(length, segment, start_ms, end_ms, 1))
                elif before.rev_sum != rev_sum and end_ms > revisable_from_ms:
                    due.append(Due(length, segment, start_ms, end_ms, before.revision + 1))
    return due
