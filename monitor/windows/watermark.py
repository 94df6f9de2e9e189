"""The watermark: the event time before which nothing more is expected.

Judged from what consumers write beside their positions, never from what was
or was not heard: "the last poll was empty" is also true of a broker that is
down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PartitionTime:
    """What one partition's position row says about time.

    `caught_up_for_ms` is for how long its position has equalled the log's end,
    by its owner's monotonic clock; 0 while it does not. `fetched_ms` is when
    the owner last looked, by the wall clock.
    """

    partition: int
    max_event_time_ms: int | None
    caught_up_for_ms: int
    fetched_ms: int | None


@dataclass(frozen=True)
class Watermark:
    """Windows that end by `time_ms` can be judged, closed by `closed_by`.

    `is_final` says that no partition has anything left to read: every window
    that holds data can be judged. `held_by` lists the partitions that were
    waited for too long and are judged without.
    """

    time_ms: int | None
    closed_by: str  # watermark | idle | hold
    is_final: bool = False
    held_by: tuple[int, ...] = ()


def watermark(
    partitions: Sequence[PartitionTime],
    *,
    now_ms: int,
    lateness_ms: int,
    idle_timeout_ms: int,
    stalled_after_ms: int,
    max_hold_ms: int,
) -> Watermark:
    """Return the watermark of a stream for a model.

    A partition is idle when it has been read to its end for `idle_timeout_ms`
    and its owner said so lately; one whose row is older than
    `stalled_after_ms` is stalled, and holds the watermark for `max_hold_ms`.

    Examples
    --------
    >>> limits = dict(lateness_ms=0, idle_timeout_ms=10, stalled_after_ms=5, max_hold_ms=60)
    >>> busy, idle = PartitionTime(0, 500, 0, 100), PartitionTime(1, 90, 20, 100)
    >>> watermark([busy, idle], now_ms=101, **limits).time_ms
    500
    >>> watermark([idle], now_ms=101, **limits).is_final
    True
    >>> watermark([busy, idle], now_ms=110, **limits).time_ms
    90
    >>> watermark([busy, idle], now_ms=900, **limits)
    Watermark(time_ms=500, closed_by='hold', is_final=False, held_by=(0, 1))
    """
    if not partitions:
        return Watermark(None, "watermark")
    waited_for: list[PartitionTime] = []
    held: list[PartitionTime] = []
    for partition in partitions:
        age_ms = None if partition.fetched_ms is None else now_ms - partition.fetched_ms
        is_stalled = age_ms is None or age_ms > stalled_after_ms
        if is_stalled and age_ms is not None and age_ms > max_hold_ms:
            held.append(partition)
        elif is_stalled or partition.caught_up_for_ms < idle_timeout_ms:
            waited_for.append(partition)
    names = tuple(partition.partition for partition in held)
    if not waited_for and not held:
        return Watermark(None, "idle", is_final=True)
    times = [partition.max_event_time_ms for partition in waited_for]
    if waited_for:
        known = [time_ms for time_ms in times if time_ms is not None]
        if len(known) < len(times):  # it has yet to say anything: wait
            return Watermark(None, "watermark", held_by=names)
        time_ms = min(known)
    else:  # every partition that is left is idle or gone
        everything = [p.max_event_time_ms for p in partitions if p.max_event_time_ms is not None]
        if not everything:
            return Watermark(None, "hold", held_by=names)
        time_ms = max(everything)
    return Watermark(time_ms - lateness_ms, "hold" if held else "watermark", held_by=names)
