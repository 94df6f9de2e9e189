"""Windows and findings: what was judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import Cell, ModelWindow, Window

# How many values go into one IN (...): SQLite's limit is 32,766.
IN_AT_MOST = 10_000
# Quarter hours, and the one that is repeated where the clock is turned back.
WEEK_OF_PANES = 7 * 24 * 4 + 4
# What names a window; a finding has a feature beside it.
_PLACE = ("version_id", "length", "start_ms", "segment")
# What else is stored of a finding's distance, and what lists of findings tell.
MEASURES = tuple(t.finding.c[name] for name in t.DISTANCES)
TOLD = tuple(c for c in t.finding.c if c.name not in t.DISTANCES)


class Volume(NamedTuple):
    """How much a judged window held."""

    start_ms: int
    end_ms: int
    rows: int
    revision: int
    incomplete: tuple[str, ...]


# start_ms, feature, evidence over its limit, which evidence, verdict, is_alarming
Square: TypeAlias = sa.Row[tuple[int, str, float | None, str | None, str, bool]]


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


def judged_since(
    conn: Connection, version_ids: Sequence[int], *, length: str, segment: str
) -> int | None:
    """Return the start of the first judged window of any of the versions, or None."""
    c, versions = t.window.c, t.model_version.c
    first = (
        sa.select(c.start_ms)
        .where(c.version_id == versions.id, c.length == length, c.segment == segment)
        .order_by(c.start_ms)
        .limit(1)
        .scalar_subquery()
    )
    each = sa.select(first.label("start_ms")).where(versions.id.in_(version_ids)).subquery()
    found: int | None = conn.execute(sa.select(sa.func.min(each.c.start_ms))).scalar_one()
    return found


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
    is_measured: bool = False,
) -> list[dict[str, Any]]:
    """Return findings with every column of the table, by (start, segment, feature).

    `after`, such a triple, continues an earlier page; `segment=None` asks for all segments.
    `is_measured` adds every other distance, and by what reference and monitor it was judged.
    """
    c, w = t.finding.c, t.window.c
    columns: list[Any] = list(TOLD)
    if is_measured:
        columns += [*MEASURES, w.reference_digest, w.monitor_revision]
    query = sa.select(*columns)
    same = sa.and_(*(w[name] == c[name] for name in _PLACE))
    at: Any = c
    if feature is not None:
        # Each window is one step to its finding.
        query = query.select_from(t.window.join(t.finding, same)).where(c.feature == feature)
        at = w
    elif is_measured:
        query = query.select_from(t.finding.outerjoin(t.window, same))
    query = (
        query.where(at.version_id == version_id, at.length == length)
        .where(*between(at.start_ms, from_ms, to_ms))
        .order_by(at.start_ms, at.segment, c.feature)
        .limit(limit)
    )
    if segment is not None:
        query = query.where(at.segment == segment)
    if after is not None:
        place = sa.tuple_(at.start_ms, at.segment, c.feature)
        query = query.where(at.start_ms >= after[0], place > sa.tuple_(*after))
    return [dict(row._mapping) for row in conn.execute(query)]


def model_windows(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str = "all",
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[ModelWindow]:
    """Return the verdicts on the whole model by start; `after` (a start) continues a page."""
    m, w = t.model_window.c, t.window.c
    query = (
        sa.select(
            m.start_ms, w.end_ms, m.segment, m.judged, m.drifted, m.share, m.weighted, m.verdict
        )
        .join(t.window, sa.and_(*(w[name] == m[name] for name in _PLACE)))
        .where(m.version_id == version_id, m.length == length, m.segment == segment)
        .where(*between(m.start_ms, from_ms, to_ms))
        .order_by(m.start_ms)
        .limit(limit)
    )
    if after is not None:
        query = query.where(m.start_ms > after)
    return [ModelWindow(*row) for row in conn.execute(query)]


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


def volumes(
    conn: Connection, version_id: int, *, length: str, segment: str, from_ms: int, to_ms: int
) -> list[Volume]:
    """Return how much each judged window held that starts in `[from_ms, to_ms)`, by start.

    The index says where the segment's windows are: those of the other segments, which lie
    between them in the table, are stepped over.
    """
    c, other = t.window.c, t.window.alias("other").c
    starts = sa.select(other.start_ms).where(
        other.version_id == version_id,
        other.segment == segment,
        other.length == length,
        *between(other.start_ms, from_ms, to_ms),
    )
    query = (
        sa.select(c.start_ms, c.end_ms, c.rows, c.revision, c.incomplete)
        .where(
            c.version_id == version_id,
            c.length == length,
            c.start_ms.in_(starts),
            c.segment == segment,
        )
        .order_by(c.start_ms)
    )
    return [
        Volume(start, end, rows, revision, _causes(causes) if causes else ())
        for start, end, rows, revision, causes in conn.execute(query)
    ]


def squares(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str,
    starts: Sequence[int],
    statistic: str | None = None,
) -> list[Square]:
    """Return the findings of the windows at `starts`, by what heatmaps show of them.

    `statistic` asks for its evidence over its limit instead of the worst. The key holds the
    segment behind the start: each start is one step into it, past the other segments.
    """
    c = t.finding.c
    columns: tuple[sa.ColumnElement[Any], ...]
    if statistic is None:
        columns = (c.ratio, c.evidence)
    else:
        evidence = c.psi if statistic == "psi" else sa.func.abs(c[f"{statistic}_excess"])
        # `op`: Core's own division would put a cast to decimal around the limit.
        over = evidence.op("/")(sa.func.nullif(c[f"{statistic}_limit"], 0.0))
        columns = (over, sa.null())
    found: list[Any] = []
    for place in range(0, len(starts), IN_AT_MOST):
        query = sa.select(c.start_ms, c.feature, *columns, c.verdict, c.is_alarming).where(
            c.version_id == version_id,
            c.length == length,
            c.start_ms.in_(starts[place : place + IN_AT_MOST]),
            c.segment == segment,
        )
        found += conn.execute(query).all()
    return found


def day_squares(
    conn: Connection,
    version_id: int,
    *,
    segment: str,
    from_ms: int,
    to_ms: int,
    statistic: str | None = None,
) -> list[Square]:
    """Return the same of local days that begin in `[from_ms, to_ms)`: the worst of their hours."""
    c = t.finding_day.c
    columns: tuple[sa.ColumnElement[Any], ...] = (
        (c.ratio, c.evidence) if statistic is None else (c[statistic], sa.null())
    )
    query = (
        sa.select(c.day_ms, c.feature, *columns, c.verdict, c.is_alarming)
        .where(c.version_id == version_id, c.segment == segment)
        .where(*between(c.day_ms, from_ms, to_ms))
    )
    found: list[Any] = list(conn.execute(query).all())
    return found


def last_finding_ms(
    conn: Connection, version_id: int, *, length: str, segment: str, starts: Sequence[int]
) -> int | None:
    """Return the last of `starts` whose window has findings; without one it had too few rows."""
    c = t.finding.c
    query = (
        sa.select(c.start_ms)
        .where(
            c.version_id == version_id,
            c.length == length,
            c.start_ms.in_(starts),
            c.segment == segment,
        )
        .order_by(c.start_ms.desc())
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def version_spans(
    conn: Connection, version_ids: Sequence[int], *, length: str, segment: str
) -> dict[int, tuple[int, int]]:
    """Return the start of each version's first judged window and the end of its last."""
    v, w = t.model_version.c, t.window.c
    here = sa.and_(w.version_id == v.id, w.segment == segment, w.length == length)
    # One step into the index for each end: of hours a year has too many to go through.
    first = sa.select(w.start_ms).where(here).order_by(w.start_ms).limit(1)
    last = sa.select(w.end_ms).where(here).order_by(w.start_ms.desc()).limit(1)
    query = sa.select(v.id, first.scalar_subquery(), last.scalar_subquery()).where(
        v.id.in_(version_ids)
    )
    found = conn.execute(query)
    return {
        version: (start_ms, end_ms) for version, start_ms, end_ms in found if end_ms is not None
    }


def pane_rows(
    conn: Connection, version_id: int, digest: str, *, segment: str, from_ms: int
) -> list[tuple[int, int]]:
    """Return (start, rows) of the panes from `from_ms` on that count into the reference `digest`.

    No more than a week has of them.
    """
    p = t.pane.c
    gridset = sa.select(t.reference.c.gridset).where(t.reference.c.digest == digest)
    query = (
        sa.select(p.start_ms, sa.func.sum(p.rows))
        .where(
            p.version_id == version_id,
            p.gridset == gridset.scalar_subquery(),
            p.start_ms >= from_ms,
            p.segment == segment,
        )
        .group_by(p.start_ms)
        .order_by(p.start_ms)
        .limit(WEEK_OF_PANES)
    )
    return [(start, int(rows)) for start, rows in conn.execute(query)]


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
