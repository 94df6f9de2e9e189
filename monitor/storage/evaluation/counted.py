"""What an evaluator reads of what consumers counted: streams, their gaps, and panes."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.plan import PaneRevision
from monitor.storage import schema as t
from monitor.windows.watermark import PartitionTime


class PaneBody(NamedTuple):
    """One stored pane of one partition; `is_day` where hours were added up to it."""

    segment: str
    start_ms: int
    is_day: bool
    rev: int
    body: bytes


class Hour(NamedTuple):
    """All panes that start at one time: how many, and the sum of their revisions.

    `is_day` where hours were added up. Whatever is counted changes it.
    """

    start_ms: int
    is_day: bool
    panes: int
    rev: int


class Gap(NamedTuple):
    """Event time from which records are missing, and why."""

    kind: str
    partition: int
    from_ms: int | None
    to_ms: int | None


def streams_of(conn: Connection, model: str, version: str) -> list[int]:
    """Return the ids of the live streams that events of this version came from."""
    query = (
        sa.select(t.counter.c.stream_id)
        .distinct()
        .join(t.stream, t.stream.c.id == t.counter.c.stream_id)
        .where(
            t.counter.c.model == model,
            t.counter.c.version == version,
            t.stream.c.ended_ms.is_(None),
        )
    )
    return list(conn.execute(query).scalars())


def partition_times(conn: Connection, streams: Collection[int]) -> list[PartitionTime]:
    """Return what the position rows of `streams` say about time."""
    p = t.stream_position.c
    query = sa.select(p.partition, p.max_event_time_ms, p.caught_up_for_ms, p.fetched_ms).where(
        p.stream_id.in_(streams)
    )
    return [PartitionTime(*row) for row in conn.execute(query.order_by(p.stream_id, p.partition))]


def has_backlog(
    conn: Connection, streams: Collection[int], by_ms: int, *, read_since_ms: int
) -> bool:
    """Return whether records of `streams` have waited for longer than `by_ms` to be counted.

    Those of a partition that nobody has read since `read_since_ms` are not waited for.
    """
    p = t.stream_position.c
    waiting = sa.or_(
        p.last_counted_kafka_ms.is_(None), p.fetched_ms - p.last_counted_kafka_ms > by_ms
    )
    query = sa.select(p.partition).where(
        p.stream_id.in_(streams),
        p.end_offset > p.next_offset,
        p.fetched_ms >= read_since_ms,
        waiting,
    )
    return conn.execute(query.limit(1)).first() is not None


def is_live(conn: Connection, streams: Collection[int], within_ms: int) -> bool:
    """Return whether the newest event of `streams` happened about when it was sent.

    Also one that waits to be believed: it is the first after a long silence.
    """
    p = t.stream_position.c
    query = sa.select(p.last_counted_kafka_ms, p.max_event_time_ms, p.pending_advance)
    sent, happened = [], []
    for sent_ms, event_ms, pending in conn.execute(query.where(p.stream_id.in_(streams))):
        sent += [] if sent_ms is None else [sent_ms]
        happened += [] if event_ms is None else [event_ms]
        happened += json.loads(pending).get("waiting_ms", []) if pending else []
    return bool(sent and happened) and abs(max(sent) - max(happened)) <= within_ms


def gaps(conn: Connection, streams: Collection[int]) -> list[Gap]:
    """Return the data gaps of `streams`."""
    g = t.data_gap.c
    query = sa.select(g.kind, g.partition, g.from_ms, g.to_ms).where(g.stream_id.in_(streams))
    return [Gap(*row) for row in conn.execute(query)]


def pane_span(
    conn: Connection, version_id: int, gridsets: Collection[str]
) -> tuple[int, int] | None:
    """Return the starts of the first and the last hour counted of a version, if there is any.

    Also where hours were added up to days: what lies before the first event teaches nothing.
    """
    ends = []
    for gridset in gridsets:  # one end at a time: each is one step into the key's tree
        for table, start in ((t.pane, t.pane.c.start_ms), (t.pane_day, t.pane_day.c.first_ms)):
            key = table.c.start_ms
            here = sa.select(start).where(
                table.c.version_id == version_id, table.c.gridset == gridset
            )
            first = here.order_by(key.asc(), start.asc()).limit(1)
            last = here.order_by(key.desc(), start.desc()).limit(1)
            ends += [*conn.execute(first).scalars(), *conn.execute(last).scalars()]
    return (min(ends), max(ends)) if ends else None


def added_up_to(
    conn: Connection, version_id: int, gridsets: Collection[str], after_ms: int
) -> int | None:
    """Return up to when hours after `after_ms` were added up to days; None where none were."""
    d = t.pane_day.c
    ends = [
        end_ms
        for gridset in gridsets
        for end_ms in conn.execute(
            sa.select(d.end_ms)
            .where(d.version_id == version_id, d.gridset == gridset, d.segment == "all")
            .order_by(d.start_ms.desc())
            .limit(1)
        ).scalars()
        if end_ms > after_ms
    ]
    return max(ends, default=None)


def pane_starts(
    conn: Connection, version_id: int, gridsets: Collection[str], from_ms: int
) -> list[int]:
    """Return the starts of a version's panes from `from_ms` on, in order."""
    p = t.pane.c
    found: set[int] = set()
    for gridset in gridsets:
        query = (
            sa.select(p.start_ms)
            .distinct()
            .where(
                p.version_id == version_id,
                p.gridset == gridset,
                p.start_ms >= from_ms,
                p.segment == "all",
            )
        )
        found.update(conn.execute(query).scalars())
    return sorted(found)


def pane_hours(
    conn: Connection, version_id: int, gridset: str, from_ms: int, to_ms: int
) -> list[Hour]:
    """Return the panes in `[from_ms, to_ms)`, of all segments together, in no order."""
    parts = []
    for table, is_day in _TABLES:
        p = table.c
        parts.append(
            sa.select(p.start_ms, sa.literal(is_day), sa.func.count(), sa.func.sum(p.rev))
            .where(*_between(table, version_id, gridset, from_ms, to_ms))
            .group_by(p.start_ms)
        )
    return [
        Hour(start_ms, bool(is_day), panes, int(rev))
        for start_ms, is_day, panes, rev in conn.execute(sa.union_all(*parts))
    ]


def pane_revisions(
    conn: Connection,
    version_id: int,
    gridset: str,
    from_ms: int,
    to_ms: int,
    *,
    segment: str | None = None,
) -> list[PaneRevision]:
    """Return the revision of each pane in `[from_ms, to_ms)`, summed over partitions.

    Hours that were added up to days are told as days.
    """
    parts = []
    for table, is_day in _TABLES:
        p = table.c
        part = (
            sa.select(p.start_ms, p.segment, sa.func.sum(p.rev), sa.literal(is_day))
            .where(*_between(table, version_id, gridset, from_ms, to_ms))
            .group_by(p.start_ms, p.segment)
        )
        parts.append(part if segment is None else part.where(p.segment == segment))
    return [
        PaneRevision(start, name, int(rev), bool(is_day))
        for start, name, rev, is_day in conn.execute(sa.union_all(*parts))
    ]


def pane_bodies(
    conn: Connection,
    version_id: int,
    gridset: str,
    segments: Collection[str],
    from_ms: int,
    to_ms: int,
) -> list[PaneBody]:
    """Return the panes of segments in `[from_ms, to_ms)` with their revisions, in no order."""
    found: list[PaneBody] = []
    for table, is_day in _TABLES:
        p = table.c
        query = sa.select(p.segment, p.start_ms, p.rev, p.body).where(
            *_between(table, version_id, gridset, from_ms, to_ms), p.segment.in_(segments)
        )
        found += [
            PaneBody(segment, start, bool(is_day), rev, body)
            for segment, start, rev, body in conn.execute(query)
        ]
    return found


# Hours as they are counted, and days to which they were added up.
_TABLES = ((t.pane, 0), (t.pane_day, 1))


def _between(
    table: sa.Table, version_id: int, gridset: str, from_ms: int, to_ms: int
) -> tuple[sa.ColumnElement[bool], ...]:
    p = table.c
    return (
        p.version_id == version_id,
        p.gridset == gridset,
        p.start_ms >= from_ms,
        p.start_ms < to_ms,
    )
