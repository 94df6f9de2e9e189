"""Windows that are due, judged: all segments at once, each pane read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor
from monitor.evaluate.judging import Judged, Known, PaneTable, judge_windows, show_windows
from monitor.storage.registry import BoundVersion
from monitor.windows.panes import HOUR_MS

# Places of profiles held at once: counts and sums of 8 MB each, and what is judged of them is as
# much again a few times over. With 80 numbers and 20 words an hour of 45 segments, or six hours of
# seven; fewer at once take no longer.
AT_ONCE = 1 << 20

Teaches = Callable[[str, str, Sequence[Due]], Known]


def judge_due(
    conn: Connection,
    bound: BoundVersion,
    reference: Reference,
    due: Sequence[Due],
    monitor: Monitor,
    known: Teaches,
) -> Iterator[Judged]:
    """Yield the windows of `due`, those of one length together, each segment's in order of start.

    Parameters
    ----------
    known
        Says what a segment and length knows of its wobble, given its windows that are due.
    """
    by_segment: dict[str, list[Due]] = {}
    for window in due:
        by_segment.setdefault(window.segment, []).append(window)
    for segments, from_ms, to_ms in _batches(reference, by_segment):
        table = PaneTable(conn, bound, reference, segments, from_ms, to_ms)
        by_length: dict[str, dict[str, list[Due]]] = {}
        for segment in segments:
            for window in sorted(by_segment[segment], key=lambda window: window.start_ms):
                by_length.setdefault(window.length, {}).setdefault(segment, []).append(window)
        for length in monitor.latest.spec.lengths:
            found = by_length.get(length)
            if not found:
                continue
            windows = [window for some in found.values() for window in some]
            counted = table.windows([(w.segment, w.start_ms, w.end_ms) for w in windows])
            if segments[0] in reference.profiles:
                knows = {segment: known(segment, length, some) for segment, some in found.items()}
                yield judge_windows(
                    reference, length, windows, counted, knows, monitor, bound.timezone
                )
            else:
                yield show_windows(reference, length, windows, counted, monitor, bound.timezone)


def _batches(
    reference: Reference, by_segment: Mapping[str, Sequence[Due]]
) -> Iterator[tuple[list[str], int, int]]:
    """Yield segments whose panes are read together, with the event time of these panes.

    Those that have windows in one and the same time, as many as are held at once; none that the
    reference has counts of beside one of which it has none.
    """
    alike: dict[tuple[int, int, bool], list[str]] = {}
    for segment, windows in by_segment.items():
        from_ms = min(window.start_ms for window in windows)
        to_ms = max(window.end_ms for window in windows)
        alike.setdefault((from_ms, to_ms, segment in reference.profiles), []).append(segment)
    for (from_ms, to_ms, _), segments in alike.items():
        panes = -(-(to_ms - from_ms) // HOUR_MS)
        step = max(1, AT_ONCE // (panes * reference.gridset.size))
        for first in range(0, len(segments), step):
            yield segments[first : first + step], from_ms, to_ms


def while_bound(bound: BoundVersion) -> Iterator[tuple[str, int, int | None]]:
    """Yield each reference's digest with the time whose windows it judges, by their starts.

    From 0 for the first, up to None for the last.
    """
    for at, (effective_ms, digest) in enumerate(bound.bindings):
        after = bound.bindings[at + 1][0] if at + 1 < len(bound.bindings) else None
        yield digest, effective_ms if at else 0, after
