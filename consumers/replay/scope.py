"""What is counted again: which versions, their panes from when on, from which offsets.

Panes are replaced by whole local days: whatever became of older hours, a day is whole. An event
is at most `FUTURE_TOLERANCE_MS` later than its record's own timestamp, or it is a dead letter.
So records before the first one of a time hold no event of a pane that begins that much later,
and need not be read: that is exact, whatever order the records came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumers.replay.reading import POLL_S, Log
from driftline.errors import ConfigError, Conflict, OffsetOutOfRange, StreamError
from driftline.events import FUTURE_TOLERANCE_MS
from monitor.storage import lanes
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion, Registry
from monitor.windows.calendar import window_of

# One record is read to learn its timestamp; a broker that is there needs no longer.
ONE_RECORD_S: Final = 15.0


@dataclass(frozen=True)
class Asked:
    """What a command asks for; None = everything.

    Attributes
    ----------
    model, version
        Which; a version needs its model.
    from_ms
        Panes of the local day that this time lies in, and later ones (epoch ms).
    from_offset
        The same from the day that begins after every event of the records before this offset;
        by partition, or for all of them under -1.
    """

    model: str | None = None
    version: str | None = None
    from_ms: int | None = None
    from_offset: Mapping[int, int] | None = None

    def plain(self) -> dict[str, Any]:
        """As it is stored with a lane, to know it again."""
        found = asdict(self)
        if self.from_offset is not None:
            found["from_offset"] = {str(p): at for p, at in sorted(self.from_offset.items())}
        return found


@dataclass(frozen=True)
class Scope:
    """What is counted again.

    Attributes
    ----------
    versions
        Version id -> start of its first pane (epoch ms), 0 for all of them.
    starts
        First offset to read, by partition.
    lost
        Partitions whose beginning the log no longer holds, or that were cut.
    whole_since_ms
        From when on the log is sure to hold every event; None where it holds them all.
    """

    versions: Mapping[int, int]
    starts: Mapping[int, int]
    lost: tuple[int, ...]
    whole_since_ms: int | None


def wanted(known: Registry, asked: Asked) -> list[BoundVersion]:
    """Return the versions that are asked for; each has a reference.

    Raises
    ------
    ConfigError
        There is no such model or version, or no reference for it.
    """
    bound = [each for each in known.versions.values() if each.bindings]
    if not bound:
        raise ConfigError(
            "reference", "database", "none", "a model with a reference: nothing counts without one"
        )
    if asked.model is None:
        if asked.version is not None:
            raise ConfigError("--version", "command line", asked.version, "a --model with it")
        return bound
    models = sorted({each.model for each in bound})
    if asked.model not in models:
        raise ConfigError("--model", "command line", asked.model, _one_of(asked.model, models))
    mine = [each for each in bound if each.model == asked.model]
    if asked.version is None:
        return mine
    versions = sorted(each.version for each in mine)
    if asked.version not in versions:
        raise ConfigError(
            "--version", "command line", asked.version,
            f"{_one_of(asked.version, versions)} (those of {asked.model} that have a reference)",
        )  # fmt: skip
    return [each for each in mine if each.version == asked.version]


def _one_of(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    if near:
        return (
            f"a model that has a reference; do you mean {near[0]}?" if len(known) > 1 else near[0]
        )
    return f"one of {', '.join(known[:10])}"


def whole_models(known: Registry, versions: Mapping[int, int]) -> set[str]:
    """Return the models of which every version that has a reference is among `versions`."""
    bound = [each for each in known.versions.values() if each.bindings]
    left_out = {each.model for each in bound if each.version_id not in versions}
    return {each.model for each in bound if each.version_id in versions} - left_out


def lost_of(
    conn: Connection, stream_id: int, bounds: Mapping[int, tuple[int, int]]
) -> tuple[int, ...]:
    """Return the partitions of which the log does not hold all that was counted."""
    g = t.data_gap.c
    cut = conn.execute(
        sa.select(g.partition).where(g.stream_id == stream_id, g.kind == "truncation")
    ).scalars()
    lost = set(cut)
    for partition, at in lanes.counted(conn, stream_id).items():
        if partition not in bounds or bounds[partition][0] > at.start_offset:
            lost.add(partition)
    return tuple(sorted(lost))


def scope_of(conn: Connection, log: Log, known: Registry, stream_id: int, asked: Asked) -> Scope:
    """Return what is counted again.

    Raises
    ------
    ConfigError
        No such model, version or partition.
    Conflict
        There is nothing to count again.
    OffsetOutOfRange
        An offset that the log does not hold.
    """
    versions = wanted(known, asked)
    bounds = log.bounds()
    live = lanes.counted(conn, stream_id)
    lost = lost_of(conn, stream_id, bounds)
    since_ms = _whole_since(conn, log, stream_id, lost, bounds)
    from_ms = asked.from_ms
    if asked.from_offset is not None:
        from_ms = _behind(log, asked.from_offset, bounds)
    first: dict[int, int] = {}
    for each in versions:
        low_ms = 0 if from_ms is None else window_of(from_ms, "day", each.timezone).start_ms
        if asked.from_offset is not None and from_ms is not None:
            low_ms = _next_day(from_ms, each.timezone)
        if since_ms is not None:
            low_ms = max(low_ms, _next_day(since_ms, each.timezone))
        first[each.version_id] = low_ms
    offsets: dict[int, int | None] = {p: at.start_offset for p, at in live.items()}
    low_ms = min(first.values())
    if low_ms > 0:
        found = log.first_at(max(0, low_ms - FUTURE_TOLERANCE_MS))
        offsets = {p: at[0] if (at := found.get(p)) is not None else None for p in live}
    starts = {}
    for partition, at in live.items():
        low = bounds.get(partition, (at.next_offset, at.next_offset))[0]
        offset = offsets[partition]
        start = at.next_offset if offset is None else max(at.start_offset, low, offset)
        starts[partition] = min(start, at.next_offset)
    if all(starts[p] >= at.next_offset for p, at in live.items()):
        held = "" if since_ms is None else (
            f": the log holds everything from {instant(since_ms)} on only, and nothing later "
            "was counted"
        )  # fmt: skip
        raise Conflict(f"there is nothing to count again{held}")
    return Scope(first, starts, lost, since_ms)


def _whole_since(
    conn: Connection,
    log: Log,
    stream_id: int,
    lost: tuple[int, ...],
    bounds: Mapping[int, tuple[int, int]],
) -> int | None:
    """Return a time before which every event lies whose record is lost."""
    p = t.stream_position.c
    times = []
    for partition in lost:
        start, seen_ms = conn.execute(
            sa.select(p.start_offset, p.last_counted_kafka_ms).where(
                p.stream_id == stream_id, p.partition == partition
            )
        ).one()
        if bounds.get(partition, (1 << 62, 0))[0] <= start:
            continue  # it was cut at its end, and has its beginning
        first = log.first_at(0).get(partition)
        stamp = seen_ms if first is None else first[1]
        if stamp is None or stamp < 0:
            raise Conflict(
                f"partition {partition} has lost its first records, and those that are left do "
                "not say when they were sent: nobody can say which panes are whole"
            )
        times.append(stamp + FUTURE_TOLERANCE_MS + 1)
    return max(times, default=None)


def _behind(log: Log, from_offset: Mapping[int, int], bounds: Mapping[int, tuple[int, int]]) -> int:
    """Return the time that no event of a record that was sent before these offsets is behind."""
    asked = dict.fromkeys(bounds, from_offset[-1]) if -1 in from_offset else from_offset
    times = []
    for partition, offset in sorted(asked.items()):
        if partition not in bounds:
            known = ", ".join(map(str, sorted(bounds)))
            raise ConfigError("--from-offset", "command line", partition, f"a partition of {known}")
        low, end = bounds[partition]
        if -1 in from_offset and offset >= end:
            continue
        if not low <= offset < end:
            raise OffsetOutOfRange("the log", partition, offset, low, end)
        times.append(_timestamp(log, partition, offset) + FUTURE_TOLERANCE_MS + 1)
    if not times:
        raise Conflict("no partition holds a record from that offset on")
    return max(times)


def _timestamp(log: Log, partition: int, offset: int) -> int:
    log.assign([partition])
    log.seek(partition, offset)
    log.resume([partition])
    try:
        for _ in range(int(ONE_RECORD_S / POLL_S)):
            for record in log.poll(POLL_S).get(partition, ()):
                if record.timestamp >= 0:
                    return record.timestamp
    finally:
        log.pause([partition])
    raise StreamError(f"partition {partition} has no record with a time from offset {offset} on")


def _next_day(time_ms: int, timezone: str) -> int:
    """Return the local midnight that is not before a time."""
    day = window_of(time_ms, "day", timezone)
    return day.start_ms if day.start_ms == time_ms else day.end_ms


def instant(at_ms: int) -> str:
    """Return a time as a person reads it.

    Examples
    --------
    >>> instant(1_360_000_000_000)
    '2013-02-04 17:46 UTC'
    """
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"
