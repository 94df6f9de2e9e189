"""Windows that are due, judged: by segment and length, each pane read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor
from monitor.evaluate.judging import Judged, Known, PaneTable, judge_windows
from monitor.storage.registry import BoundVersion

Teaches = Callable[[str, str, Sequence[Due]], Known]


def judge_due(
    conn: Connection,
    bound: BoundVersion,
    reference: Reference,
    due: Sequence[Due],
    monitor: Monitor,
    known: Teaches,
) -> Iterator[Judged]:
    """Yield the windows of `due`, those of one segment and length together, in order of start.

    Parameters
    ----------
    known
        Says what a segment and length knows of its wobble, given its windows that are due.
    """
    by_segment: dict[str, dict[str, list[Due]]] = {}
    for window in due:
        by_segment.setdefault(window.segment, {}).setdefault(window.length, []).append(window)
    for segment, by_length in by_segment.items():
        first = min(window.start_ms for windows in by_length.values() for window in windows)
        last = max(window.end_ms for windows in by_length.values() for window in windows)
        table = PaneTable(conn, bound, reference, segment, first, last)
        for length in monitor.latest.spec.lengths:
            windows = by_length.get(length)
            if not windows:
                continue
            windows.sort(key=lambda window: window.start_ms)
            yield judge_windows(
                reference,
                segment,
                length,
                windows,
                table.windows([(window.start_ms, window.end_ms) for window in windows]),
                known(segment, length, windows),
                monitor,
                bound.timezone,
            )


def while_bound(bound: BoundVersion) -> Iterator[tuple[str, int, int | None]]:
    """Yield each reference's digest with the time whose windows it judges, by their starts.

    From 0 for the first, up to None for the last.
    """
    for at, (effective_ms, digest) in enumerate(bound.bindings):
        after = bound.bindings[at + 1][0] if at + 1 < len(bound.bindings) else None
        yield digest, effective_ms if at else 0, after
