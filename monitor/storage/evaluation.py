"""The SQL of the evaluator: what it reads to judge and what it writes in one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.calibration import Calibration
from driftline.stats.lengths import LENGTHS
from monitor.detect.fold import States, states_from_json
from monitor.detect.plan import PaneRevision, Stored
from monitor.storage import schema as t
from monitor.storage.engine import insert_tuples
from monitor.windows.watermark import PartitionTime

# How many values go into one IN (...): SQLite's limit is 32,766.
IN_AT_MOST = 10_000


class Cursor(NamedTuple):
    """How far the evaluator has come with a version; `epoch` is 0 before its first step."""

    epoch: int
    watermark_ms: int | None


class PaneBody(NamedTuple):
    """One stored pane of one partition."""

    start_ms: int
    rev: int
    body: bytes


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


def last_windows(
    conn: Connection, version_id: int, lengths: Collection[str]
) -> list[tuple[int, int]]:
    """Return (start, end) of the last judged window of each length, over all rows."""
    w = t.window.c
    found = []
    for length in lengths:  # one step into the index for each
        query = (
            sa.select(w.start_ms, w.end_ms)
            .where(w.version_id == version_id, w.segment == "all", w.length == length)
            .order_by(w.start_ms.desc())
            .limit(1)
        )
        found += [(row.start_ms, row.end_ms) for row in conn.execute(query)]
    return found


def cursor(conn: Connection, version_id: int) -> Cursor:
    """Return where the evaluator stands with a version."""
    row = conn.execute(
        sa.select(t.evaluator_cursor.c.epoch, t.evaluator_cursor.c.watermark_ms).where(
            t.evaluator_cursor.c.version_id == version_id
        )
    ).one_or_none()
    return Cursor(0, None) if row is None else Cursor(row.epoch, row.watermark_ms)


def move_cursor(
    conn: Connection, version_id: int, before: Cursor, watermark_ms: int | None, owner: str
) -> bool:
    """Move the cursor by compare-and-swap; False when another evaluator was faster.

    False, too, when the version's model was archived or deleted meanwhile; until the
    transaction ends it is not.
    """
    v, m = t.model_version.c, t.model.c
    standing = (
        sa.select(v.id)
        .join_from(t.model_version, t.model, m.id == v.model_id)
        .where(v.id == version_id, m.archived_ms.is_(None))
        .with_for_update(read=True)
    )
    if conn.execute(standing).first() is None:
        return False
    values = {"epoch": before.epoch + 1, "watermark_ms": watermark_ms, "owner": owner}
    if before.epoch == 0:
        try:
            with conn.begin_nested():
                conn.execute(sa.insert(t.evaluator_cursor).values(version_id=version_id, **values))
        except sa.exc.IntegrityError:
            return False
        return True
    moved = conn.execute(
        sa.update(t.evaluator_cursor)
        .where(
            t.evaluator_cursor.c.version_id == version_id,
            t.evaluator_cursor.c.epoch == before.epoch,
        )
        .values(**values)
    )
    return moved.rowcount == 1


def hold_cursors(conn: Connection, versions: Collection[int]) -> None:
    """Let no evaluator write what it has read of `versions` before this transaction.

    It finds its cursor moved, and looks again after it.
    """
    c = t.evaluator_cursor.c
    conn.execute(
        sa.update(t.evaluator_cursor)
        .where(c.version_id.in_(sorted(versions)))
        .values(epoch=c.epoch + 1)
    )


def pane_span(
    conn: Connection, version_id: int, gridsets: Collection[str]
) -> tuple[int, int] | None:
    """Return the starts of the first and the last pane of a version, if it has any."""
    p = t.pane.c
    ends = []
    for gridset in gridsets:  # one end at a time: each is one step into the key's tree
        here = sa.select(p.start_ms).where(p.version_id == version_id, p.gridset == gridset)
        for order in (p.start_ms.asc(), p.start_ms.desc()):
            found = conn.execute(here.order_by(order).limit(1)).scalar_one_or_none()
            if found is not None:
                ends.append(found)
    return (min(ends), max(ends)) if ends else None


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


def is_live(conn: Connection, streams: Collection[int], within_ms: int) -> bool:
    """Return whether the newest event of `streams` happened about when it was sent."""
    p = t.stream_position.c
    query = sa.select(sa.func.max(p.last_counted_kafka_ms), sa.func.max(p.max_event_time_ms)).where(
        p.stream_id.in_(streams)
    )
    sent_ms, event_ms = conn.execute(query).one()
    return sent_ms is not None and event_ms is not None and abs(sent_ms - event_ms) <= within_ms


def pane_revisions(
    conn: Connection,
    version_id: int,
    gridset: str,
    from_ms: int,
    to_ms: int,
    *,
    segment: str | None = None,
) -> list[PaneRevision]:
    """Return the revision of each pane in `[from_ms, to_ms)`, summed over partitions."""
    p = t.pane.c
    query = (
        sa.select(p.start_ms, p.segment, sa.func.sum(p.rev))
        .where(
            p.version_id == version_id,
            p.gridset == gridset,
            p.start_ms >= from_ms,
            p.start_ms < to_ms,
        )
        .group_by(p.start_ms, p.segment)
    )
    if segment is not None:
        query = query.where(p.segment == segment)
    return [PaneRevision(start, name, int(rev)) for start, name, rev in conn.execute(query).all()]


def pane_bodies(
    conn: Connection, version_id: int, gridset: str, segment: str, from_ms: int, to_ms: int
) -> list[PaneBody]:
    """Return a segment's panes in `[from_ms, to_ms)` with their revisions, in order of start."""
    p = t.pane.c
    query = (
        sa.select(p.start_ms, p.rev, p.body)
        .where(
            p.version_id == version_id,
            p.gridset == gridset,
            p.start_ms >= from_ms,
            p.start_ms < to_ms,
            p.segment == segment,
        )
        .order_by(p.start_ms)
    )
    return [PaneBody(*row) for row in conn.execute(query).all()]


def stored_windows(
    conn: Connection, version_id: int, lengths: Collection[str], from_ms: int, to_ms: int
) -> dict[tuple[str, str, int], Stored]:
    """Return the judged windows that start in `[from_ms, to_ms)`."""
    w = t.window.c
    query = sa.select(w.length, w.segment, w.start_ms, w.rev_sum, w.revision).where(
        w.version_id == version_id,
        w.length.in_(lengths),
        w.start_ms >= from_ms,
        w.start_ms < to_ms,
    )
    return {(row[0], row[1], row[2]): Stored(row[3], row[4]) for row in conn.execute(query).all()}


def states_before(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> States:
    """Return the fold's states after the last window that starts before `start_ms`."""
    w = t.window.c
    text = conn.execute(
        sa.select(w.fold)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms < start_ms,
        )
        .order_by(w.start_ms.desc())
        .limit(1)
    ).scalar_one_or_none()
    return {} if text is None else states_from_json(json.loads(text))


class JudgedWindow(NamedTuple):
    """A window that was judged, and the digest of the reference that did."""

    start_ms: int
    end_ms: int
    digest: str


def windows_from(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> list[JudgedWindow]:
    """Return the judged windows from `start_ms` on."""
    w = t.window.c
    query = (
        sa.select(w.start_ms, w.end_ms, w.reference_digest)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms >= start_ms,
        )
        .order_by(w.start_ms)
    )
    return [JudgedWindow(*row) for row in conn.execute(query)]


class Marks(NamedTuple):
    """What a stored finding says to the fold, and its verdict."""

    marks: str
    verdict: str


def stored_marks(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> dict[int, dict[str, Marks]]:
    """Return the marks of findings from `start_ms` on: {window start: {feature: marks}}."""
    f = t.finding.c
    query = sa.select(f.start_ms, f.feature, f.marks, f.verdict).where(
        f.version_id == version_id,
        f.length == length,
        f.segment == segment,
        f.start_ms >= start_ms,
    )
    out: dict[int, dict[str, Marks]] = {}
    for start, feature, marks, verdict in conn.execute(query):
        out.setdefault(start, {})[feature] = Marks(marks, verdict)
    return out


def complete_windows(
    conn: Connection,
    version_id: int,
    length: str,
    segment: str,
    digest: str,
    from_ms: int,
    until_ms: int,
    at_most: int,
    *,
    is_last: bool = False,
) -> list[tuple[int, int]]:
    """Return (start, end) of the first complete windows in `[from_ms, until_ms]`, or the last.

    However they were closed: that is history, and a replay may close them otherwise.
    """
    w = t.window.c
    query = (
        sa.select(w.start_ms, w.end_ms)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms >= from_ms,
            w.end_ms <= until_ms,
            w.reference_digest == digest,
            w.incomplete.is_(None),
        )
        .order_by(w.start_ms.desc() if is_last else w.start_ms)
        .limit(at_most)
    )
    return sorted((row.start_ms, row.end_ms) for row in conn.execute(query))


def last_end(conn: Connection, versions: Collection[int]) -> int:
    """Return the end of the last judged window of any of `versions`, 0 without one."""
    w = t.window.c
    ends = [0]
    for version_id in versions:  # one step into the index for each length
        for length in LENGTHS:
            query = sa.select(sa.func.max(w.end_ms)).where(
                w.version_id == version_id, w.length == length
            )
            ends.append(conn.execute(query).scalar() or 0)
    return max(ends)


def judged_until(conn: Connection, version_id: int, length: str, segment: str) -> int:
    """Return the end of the last judged window of a length and segment, 0 without one."""
    w = t.window.c
    query = (
        sa.select(w.end_ms)
        .where(w.version_id == version_id, w.length == length, w.segment == segment)
        .order_by(w.start_ms.desc())
        .limit(1)
    )
    return int(conn.execute(query).scalar_one_or_none() or 0)


def digest_of_window(
    conn: Connection, version_id: int, length: str, segment: str, start_ms: int
) -> str:
    """Return the digest of the reference that judged a window."""
    w = t.window.c
    digest: str = conn.execute(
        sa.select(w.reference_digest).where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms == start_ms,
        )
    ).scalar_one()
    return digest


class Learnt(NamedTuple):
    """What a length learnt once from live windows; it judges those that end after `after_ms`."""

    revision: int
    after_ms: int
    windows: list[tuple[int, int]]
    calibration: Calibration


def calibrations(
    conn: Connection, version_id: int, digest: str
) -> dict[tuple[str, str], list[Learnt]]:
    """Return all that each (segment, length) has learnt from live windows, oldest first."""
    c = t.calibration.c
    query = (
        sa.select(c.segment, c.length, c.revision, c.after_ms, c.windows, c.body)
        .where(c.version_id == version_id, c.reference_digest == digest)
        .order_by(c.revision)
    )
    out: dict[tuple[str, str], list[Learnt]] = {}
    for segment, length, revision, after_ms, windows, body in conn.execute(query):
        spans = [(start, end) for start, end in json.loads(windows)]
        learnt = Learnt(
            revision,
            spans[-1][1] if after_ms is None else after_ms,
            spans,
            Calibration.from_json(json.loads(body)),
        )
        out.setdefault((segment, length), []).append(learnt)
    return out


def live_calibrations(
    conn: Connection, version_id: int, digest: str
) -> dict[tuple[str, str], tuple[int, Calibration]]:
    """Return {(segment, length): (after when it judges, calibration)}, the latest revisions."""
    return {
        key: (learnt[-1].after_ms, learnt[-1].calibration)
        for key, learnt in calibrations(conn, version_id, digest).items()
    }


def store_calibration(
    conn: Connection,
    version_id: int,
    digest: str,
    segment: str,
    length: str,
    learnt: Learnt,
    now_ms: int,
) -> None:
    """Keep what a length learnt from live windows, for good."""
    conn.execute(
        sa.insert(t.calibration).values(
            version_id=version_id,
            reference_digest=digest,
            segment=segment,
            length=length,
            revision=learnt.revision,
            source=learnt.calibration.source,
            windows=json.dumps(learnt.windows),
            body=json.dumps(learnt.calibration.to_json()),
            created_ms=now_ms,
            after_ms=learnt.after_ms,
        )
    )


def gaps(conn: Connection, streams: Collection[int]) -> list[Gap]:
    """Return the data gaps of `streams`."""
    g = t.data_gap.c
    query = sa.select(g.kind, g.partition, g.from_ms, g.to_ms).where(g.stream_id.in_(streams))
    return [Gap(*row) for row in conn.execute(query)]


def delete_windows(
    conn: Connection, version_id: int, length: str, segment: str, starts: Iterable[int]
) -> None:
    """Delete windows and their findings, to be written anew in the same transaction."""
    ordered = sorted(starts)
    for place in range(0, len(ordered), IN_AT_MOST):
        some = ordered[place : place + IN_AT_MOST]
        for table in (t.finding, t.finding_measure, t.model_window, t.window):
            conn.execute(
                sa.delete(table).where(
                    table.c.version_id == version_id,
                    table.c.length == length,
                    table.c.segment == segment,
                    table.c.start_ms.in_(some),
                )
            )


def insert_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the window table's columns."""
    insert_tuples(conn, t.window, tuple(t.window.c.keys()), rows)


def insert_findings(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the finding table's columns."""
    insert_tuples(conn, t.finding, tuple(t.finding.c.keys()), rows)


def insert_measures(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows in the order of the finding_measure table's columns."""
    insert_tuples(conn, t.finding_measure, tuple(t.finding_measure.c.keys()), rows)


def replace_model_windows(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows, in the order of the model_window table's columns, in the place of theirs."""
    m = t.model_window.c
    by_place: dict[tuple[Any, ...], list[int]] = {}
    for version_id, length, start_ms, segment, *_ in rows:
        by_place.setdefault((version_id, length, segment), []).append(start_ms)
    for (version_id, length, segment), starts in by_place.items():
        for place in range(0, len(starts), IN_AT_MOST):
            conn.execute(
                sa.delete(t.model_window).where(
                    m.version_id == version_id,
                    m.length == length,
                    m.segment == segment,
                    m.start_ms.in_(starts[place : place + IN_AT_MOST]),
                )
            )
    insert_tuples(conn, t.model_window, tuple(m.keys()), rows)


def update_fold(
    conn: Connection,
    version_id: int,
    length: str,
    segment: str,
    start_ms: int,
    fold: str,
    alarming: Collection[str],
) -> None:
    """Replace what the fold says of a window that was not judged again."""
    w, f = t.window.c, t.finding.c
    conn.execute(
        sa.update(t.window)
        .where(
            w.version_id == version_id,
            w.length == length,
            w.segment == segment,
            w.start_ms == start_ms,
        )
        .values(fold=fold)
    )
    here = (
        f.version_id == version_id,
        f.length == length,
        f.segment == segment,
        f.start_ms == start_ms,
    )
    conn.execute(
        sa.update(t.finding)
        .where(*here)
        .values(is_alarming=f.feature.in_(sorted(alarming)) if alarming else sa.false())
    )
