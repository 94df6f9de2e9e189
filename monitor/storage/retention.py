"""What is kept no longer in full: hours added up to days, old findings and dead letters.

Each function does a bounded piece in the transaction it is given, so that nobody waits for it
longer than for a checkpoint. Who writes panes locks that partition's position row first, as a
consumer's checkpoint does: the two never add to one pane at once. Which pieces there are to do,
and how old they must be, `monitor.retention` says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile, add_many
from monitor.storage import schema as t
from monitor.storage.engine import insert_tuples, take_turns

# Tables that hold a row of a judged window; the one that says what was judged goes last.
_JUDGED: Final = (t.finding, t.model_window, t.window)


class Version(NamedTuple):
    """A model version, archived or not."""

    id: int
    timezone: str
    model: str
    version: str


class Part(NamedTuple):
    """Where a day's panes of one partition lie."""

    stream_id: int
    partition: int


def versions(conn: Connection) -> list[Version]:
    """Return all versions of all models, by id."""
    v, m = t.model_version.c, t.model.c
    query = (
        sa.select(v.id, m.timezone, m.name, v.name)
        .join_from(t.model_version, t.model, m.id == v.model_id)
        .order_by(v.id)
    )
    return [Version(*row) for row in conn.execute(query)]


def digests(conn: Connection, version_id: int) -> list[str]:
    """Return the digests of the references that were ever bound to a version."""
    b = t.binding.c
    query = sa.select(b.reference_digest).distinct().where(b.version_id == version_id)
    return list(conn.execute(query.order_by(b.reference_digest)).scalars())


def judged_to(conn: Connection, version_id: int) -> int | None:
    """Return the start of the last window that was judged of a version, over all its lengths.

    Where a replay asks that the past be judged again, no later than from when on.
    """
    w, c = t.window.c, t.evaluator_cursor.c
    query = sa.select(sa.func.max(w.start_ms)).where(w.version_id == version_id, w.segment == "all")
    judged = [int(start) for start in conn.execute(query.group_by(w.length)).scalars()]
    again = sa.select(c.rejudge_from_ms).where(
        c.version_id == version_id, c.rejudge_from_ms.is_not(None)
    )
    if not judged:
        return None
    return min([max(judged), *(int(from_ms) for from_ms in conn.execute(again).scalars())])


def first_hour(
    conn: Connection, version_id: int, gridset: str, *, without: Collection[str]
) -> int | None:
    """Return the start of the oldest hour that stands as such, apart from segments `without`."""
    p = t.pane.c
    query = sa.select(p.start_ms).where(p.version_id == version_id, p.gridset == gridset)
    if without:
        query = query.where(p.segment.not_in(sorted(without)))
    found: int | None = conn.execute(query.order_by(p.start_ms).limit(1)).scalar_one_or_none()
    return found


def parts_of(
    conn: Connection, version_id: int, gridset: str, from_ms: int, to_ms: int
) -> list[Part]:
    """Return the partitions that have hours in `[from_ms, to_ms)`."""
    p = t.pane.c
    query = (
        sa.select(p.stream_id, p.partition)
        .distinct()
        .where(
            p.version_id == version_id,
            p.gridset == gridset,
            p.start_ms >= from_ms,
            p.start_ms < to_ms,
        )
    )
    return sorted(Part(*row) for row in conn.execute(query))


def add_up(
    conn: Connection,
    gridset: Gridset,
    version_id: int,
    part: Part,
    from_ms: int,
    to_ms: int,
    *,
    without: Collection[str],
) -> int:
    """Add one partition's hours in the local day `[from_ms, to_ms)` up to it; return how many.

    Counts, rows and revisions of the day are those of its hours together, exactly: they are
    integers, and the sum of the revisions says to every longer window that nothing has changed.
    """
    position = t.stream_position.c
    if part.stream_id < 0:  # an upload's, whose place no consumer has
        take_turns(conn, "upload")
    conn.execute(
        sa.select(position.next_offset)
        .where(position.stream_id == part.stream_id, position.partition == part.partition)
        .with_for_update()
    )
    hours = _of(t.pane, gridset, version_id, part, without)
    start = t.pane.c.start_ms
    rows = conn.execute(
        sa.select(start, t.pane.c.segment, t.pane.c.rev, t.pane.c.rows, t.pane.c.body)
        .where(*hours, start >= from_ms, start < to_ms)
        .order_by(start)
    ).all()
    if not rows:
        return 0
    day = _of(t.pane_day, gridset, version_id, part, ())
    d = t.pane_day.c
    before = {
        row.segment: row
        for row in conn.execute(
            sa.select(d.segment, d.first_ms, d.rev, d.rows, d.body).where(
                *day, d.start_ms == from_ms
            )
        )
    }
    by_segment: dict[str, list[Any]] = {}
    for row in rows:
        by_segment.setdefault(row.segment, []).append(row)
    made: list[tuple[object, ...]] = []
    for segment, found in by_segment.items():
        first_ms = found[0].start_ms
        if (old := before.get(segment)) is not None:
            found, first_ms = [*found, old], min(first_ms, old.first_ms)
        total: Profile = add_many(gridset, [row.body for row in found])
        key = (version_id, gridset.digest, from_ms, segment, *part)
        counted = (sum(row.rev for row in found), sum(row.rows for row in found))
        made.append((*key, to_ms, first_ms, *counted, total.to_bytes()))
    conn.execute(
        sa.delete(t.pane_day).where(*day, d.start_ms == from_ms, d.segment.in_(list(by_segment)))
    )
    insert_tuples(conn, t.pane_day, tuple(t.pane_day.c.keys()), made)
    conn.execute(sa.delete(t.pane).where(*hours, start >= from_ms, start < to_ms))
    return len(rows)


def first_day(conn: Connection, version_id: int) -> tuple[int, int] | None:
    """Return (start, end) of a version's oldest day to which hours were added up."""
    d = t.pane_day.c
    query = sa.select(d.start_ms, d.end_ms).where(d.version_id == version_id)
    found = conn.execute(query.order_by(d.end_ms).limit(1)).one_or_none()
    return None if found is None else (found.start_ms, found.end_ms)


def forget_day(conn: Connection, version_id: int, end_ms: int) -> int:
    """Delete a version's counts of the days that end then; return how many rows that was."""
    d = t.pane_day.c
    return conn.execute(
        sa.delete(t.pane_day).where(d.version_id == version_id, d.end_ms == end_ms)
    ).rowcount


def first_window(conn: Connection, version_id: int, length: str) -> int | None:
    """Return the start of the oldest window of a length that is kept."""
    w = t.window.c
    query = sa.select(w.start_ms).where(w.version_id == version_id, w.length == length)
    found: int | None = conn.execute(query.order_by(w.start_ms).limit(1)).scalar_one_or_none()
    return found


def forget_windows(conn: Connection, version_id: int, length: str, from_ms: int, to_ms: int) -> int:
    """Delete a length's windows that start in `[from_ms, to_ms)` with their findings.

    Returns
    -------
    int
        How many windows that was. What days say of their hours stays.
    """
    count = 0
    for table in _JUDGED:
        w = table.c
        count = conn.execute(
            sa.delete(table).where(
                w.version_id == version_id,
                w.length == length,
                w.start_ms >= from_ms,
                w.start_ms < to_ms,
            )
        ).rowcount
    return count


def forget_letters(conn: Connection, until_ms: int, at_most: int) -> int:
    """Delete dead letters that were written before `until_ms`, the oldest first.

    What became of every record stays counted.
    """
    d = t.dead_letter.c
    key = (d.stream_id, d.partition, d.offset, d.line)
    old = sa.select(*key).where(d.created_ms < until_ms).order_by(d.created_ms).limit(at_most)
    return conn.execute(
        sa.delete(t.dead_letter).where(sa.tuple_(*key).in_(old.subquery().select()))
    ).rowcount


class Kept(NamedTuple):
    """How much of one thing stands, and since when (event time; wall time of letters)."""

    rows: int
    first_ms: int | None


def kept(conn: Connection) -> dict[str, Kept]:
    """Return what stands: hours, days, hour windows, other windows, dead letters.

    Counts whole tables: for whoever asks, not for a loop.
    """
    w = t.window.c
    asked: Sequence[tuple[str, sa.Select[int, Any]]] = (
        ("hours", sa.select(sa.func.count(), sa.func.min(t.pane.c.start_ms))),
        ("days", sa.select(sa.func.count(), sa.func.min(t.pane_day.c.start_ms))),
        (
            "hour_windows",
            sa.select(sa.func.count(), sa.func.min(w.start_ms)).where(w.length == "hour"),
        ),
        (
            "windows",
            sa.select(sa.func.count(), sa.func.min(w.start_ms)).where(w.length != "hour"),
        ),
        ("letters", sa.select(sa.func.count(), sa.func.min(t.dead_letter.c.created_ms))),
    )
    return {name: Kept(*conn.execute(query).one()) for name, query in asked}


def _of(
    table: sa.Table, gridset: Gridset, version_id: int, part: Part, without: Collection[str]
) -> list[sa.ColumnElement[bool]]:
    p = table.c
    where = [
        p.version_id == version_id,
        p.gridset == gridset.digest,
        p.stream_id == part.stream_id,
        p.partition == part.partition,
    ]
    if without:
        where.append(p.segment.not_in(sorted(without)))
    return where
