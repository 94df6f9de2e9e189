"""What an evaluator reads of what consumers counted: streams, their gaps, and panes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

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
    ends = [
        end
        for gridset in gridsets
        for end in conn.execute(_ENDS, {"version_id": version_id, "gridset": gridset}).one()
        if end is not None
    ]
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
    found: set[int] = set()
    for gridset in gridsets:
        given = {"version_id": version_id, "gridset": gridset, "from_ms": from_ms}
        found.update(conn.execute(_STARTS, given).scalars())
    return sorted(found)


def pane_hours(
    conn: Connection, version_id: int, gridset: str, from_ms: int, to_ms: int
) -> list[Hour]:
    """Return the panes in `[from_ms, to_ms)`, of all segments together, in no order."""
    found = conn.execute(_HOURS, _span(version_id, gridset, from_ms, to_ms))
    return [Hour(start_ms, bool(is_day), panes, int(rev)) for start_ms, is_day, panes, rev in found]


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
    given: dict[str, Any] = _span(version_id, gridset, from_ms, to_ms)
    query = _REVISIONS
    if segment is not None:
        query, given = _REVISIONS_OF_ONE, given | {"segment": segment}
    return [
        PaneRevision(start, name, int(rev), bool(is_day))
        for start, name, rev, is_day in conn.execute(query, given)
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
    given = {**_span(version_id, gridset, from_ms, to_ms), "segments": list(segments)}
    return [
        PaneBody(segment, start, bool(is_day), rev, body)
        for segment, start, is_day, rev, body in conn.execute(_BODIES, given)
    ]


def _span(version_id: int, gridset: str, from_ms: int, to_ms: int) -> dict[str, Any]:
    return {"version_id": version_id, "gridset": gridset, "from_ms": from_ms, "to_ms": to_ms}


# What every look asks is put into words once: that takes longer than to run it.


def _ends() -> sa.Select[Any]:
    """The first and the last start of hours and of days, each one step into the key's tree."""
    ends = []
    for table, start in ((t.pane, t.pane.c.start_ms), (t.pane_day, t.pane_day.c.first_ms)):
        key = table.c.start_ms
        here = sa.select(start).where(*_counted_on(table))
        ends += [
            here.order_by(key.asc(), start.asc()).limit(1).scalar_subquery(),
            here.order_by(key.desc(), start.desc()).limit(1).scalar_subquery(),
        ]
    return sa.select(*ends)


def _of_both(
    told: Callable[[Any, sa.ColumnElement[int]], sa.Select[Any]],
) -> sa.CompoundSelect[Any]:
    """What is told of hours as they are counted, and of days to which they were added up."""
    return sa.union_all(
        *(
            told(table.c, sa.literal_column(is_day)).where(
                *_counted_on(table),
                table.c.start_ms >= sa.bindparam("from_ms"),
                table.c.start_ms < sa.bindparam("to_ms"),
            )
            for table, is_day in ((t.pane, "0"), (t.pane_day, "1"))
        )
    )


def _counted_on(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.version_id == sa.bindparam("version_id"),
        table.c.gridset == sa.bindparam("gridset"),
    )


def _revision(p: Any, is_day: sa.ColumnElement[int]) -> sa.Select[Any]:
    query = sa.select(p.start_ms, p.segment, sa.func.sum(p.rev), is_day)
    return query.group_by(p.start_ms, p.segment)


_ENDS = _ends()
_STARTS = (
    sa.select(t.pane.c.start_ms)
    .distinct()
    .where(
        *_counted_on(t.pane),
        t.pane.c.start_ms >= sa.bindparam("from_ms"),
        t.pane.c.segment == "all",
    )
)
_HOURS = _of_both(
    lambda p, is_day: sa.select(p.start_ms, is_day, sa.func.count(), sa.func.sum(p.rev)).group_by(
        p.start_ms
    )
)
_REVISIONS = _of_both(_revision)
_REVISIONS_OF_ONE = _of_both(
    lambda p, is_day: _revision(p, is_day).where(p.segment == sa.bindparam("segment"))
)
_BODIES = _of_both(
    lambda p, is_day: sa.select(p.segment, p.start_ms, is_day, p.rev, p.body).where(
        p.segment.in_(sa.bindparam("segments", expanding=True))
    )
)
