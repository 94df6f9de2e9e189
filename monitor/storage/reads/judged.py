"""Windows and findings: what was judged."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import Cell, Window


def data_version(conn: Connection) -> int:
    """Return the number that grows whenever there is something new to show (0 = nothing yet)."""
    return int(conn.execute(sa.select(sa.func.max(t.data_version.c.value))).scalar() or 0)


def watermark_ms(conn: Connection) -> int | None:
    """Return the event time up to which everything living is judged: the furthest version's."""
    found = conn.execute(sa.select(sa.func.max(t.evaluator_cursor.c.watermark_ms))).scalar()
    return int(found) if found is not None else None


def judged(conn: Connection) -> set[int]:
    """Return the ids of the versions that have at least one judged window."""
    return set(conn.execute(sa.select(t.window.c.version_id).distinct()).scalars())


def segments(conn: Connection, version_id: int) -> list[str]:
    """Return the segments that have judged windows of any length, by name.

    Steps from one to the next in the index: a year of windows is not looked at.
    """
    c = t.window.c
    here = sa.select(sa.func.min(c.segment)).where(c.version_id == version_id)
    found = here.cte("found", recursive=True)
    name = next(iter(found.c))
    following = here.where(c.segment > name).scalar_subquery()
    steps = found.union_all(sa.select(following).where(name.is_not(None)))
    name = next(iter(steps.c))
    return list(conn.execute(sa.select(name).where(name.is_not(None))).scalars())


def judged_span(
    conn: Connection, version_id: int, *, length: str, segment: str
) -> tuple[int | None, int | None, int | None]:
    """Return the first judged window's start and the newest one's start and end, or Nones."""
    c = t.window.c
    here = sa.select(c.start_ms, c.end_ms).where(
        c.version_id == version_id, c.length == length, c.segment == segment
    )
    first = here.order_by(c.start_ms).limit(1).subquery()
    last = here.order_by(c.start_ms.desc()).limit(1).subquery()
    row = conn.execute(
        sa.select(first.c.start_ms, last.c.start_ms, last.c.end_ms).select_from(
            first.join(last, sa.true())
        )
    ).one_or_none()
    return (None, None, None) if row is None else (row[0], row[1], row[2])


def has_window(
    conn: Connection, version_id: int, *, length: str, segment: str, from_ms: int, to_ms: int
) -> bool:
    """Whether a judged window starts in `[from_ms, to_ms)`."""
    c = t.window.c
    query = (
        sa.select(c.start_ms)
        .where(c.version_id == version_id, c.length == length, c.segment == segment)
        .where(*between(c.start_ms, from_ms, to_ms))
        .limit(1)
    )
    return conn.execute(query).one_or_none() is not None


def windows(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str = "all",
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[Window]:
    """Return judged windows by start; `after` (a start) continues an earlier page."""
    c = t.window.c
    query = (
        sa.select(*(c[name] for name in Window.__slots__))
        .where(c.version_id == version_id, c.length == length, c.segment == segment)
        .where(*between(c.start_ms, from_ms, to_ms))
        .order_by(c.start_ms)
        .limit(limit)
    )
    if after is not None:
        query = query.where(c.start_ms > after)
    return [
        Window(**{**row._mapping, "incomplete": _causes(row.incomplete)})
        for row in conn.execute(query)
    ]


def findings(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str | None = "all",
    feature: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: tuple[int, str, str] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return findings with every column of the table, by (start, segment, feature).

    `after`, such a triple, continues an earlier page; `segment=None` asks for all segments.
    """
    c = t.finding.c
    query = (
        sa.select(t.finding)
        .where(c.version_id == version_id, c.length == length)
        .where(*between(c.start_ms, from_ms, to_ms))
        .order_by(c.start_ms, c.segment, c.feature)
        .limit(limit)
    )
    if segment is not None:
        query = query.where(c.segment == segment)
    if feature is not None:
        query = query.where(c.feature == feature)
    if after is not None:
        query = query.where(sa.tuple_(c.start_ms, c.segment, c.feature) > sa.tuple_(*after))
    return [dict(row._mapping) for row in conn.execute(query)]


def cells(
    conn: Connection, version_id: int, *, length: str, segment: str, from_ms: int, to_ms: int
) -> list[Cell]:
    """Return the squares of a heatmap of windows that start in `[from_ms, to_ms)`."""
    c = t.finding.c
    query = sa.select(*(c[name] for name in Cell._fields)).where(
        c.version_id == version_id,
        c.length == length,
        c.segment == segment,
        *between(c.start_ms, from_ms, to_ms),
    )
    return [Cell(*row) for row in conn.execute(query)]


def _causes(text: str | None) -> tuple[str, ...]:
    return tuple(str(cause) for cause in json.loads(text)) if text else ()


def between(
    column: sa.ColumnElement[int], from_ms: int | None, to_ms: int | None
) -> list[sa.ColumnElement[bool]]:
    limits = []
    if from_ms is not None:
        limits.append(column >= from_ms)
    if to_ms is not None:
        limits.append(column < to_ms)
    return limits
