"""The last weeks of many models at once: what a list of models shows.

Every function here is one statement, however many versions it is asked about,
and seeks by key: nothing reads a year to show a month.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.reads.judged import TOLD
from monitor.storage.rows import FirstPanes, ModelWindow, RecentWindow

_PLACE = ("version_id", "length", "start_ms", "segment")


def monitors(conn: Connection) -> dict[int, str]:
    """Return the newest monitor of each model, as stored, by the model's id."""
    m = t.monitor.c
    newest = (
        sa.select(m.model_id, sa.func.max(m.revision).label("revision"))
        .group_by(m.model_id)
        .subquery()
    )
    query = sa.select(m.model_id, m.spec).join(
        newest, sa.and_(newest.c.model_id == m.model_id, newest.c.revision == m.revision)
    )
    return {row.model_id: row.spec for row in conn.execute(query)}


def ever_judged(conn: Connection, version_ids: Iterable[int]) -> set[int]:
    """Return those of `version_ids` that have a judged window."""
    is_judged = sa.exists().where(t.window.c.version_id == t.model_version.c.id)
    query = sa.select(t.model_version.c.id).where(
        t.model_version.c.id.in_(list(version_ids)), is_judged
    )
    return set(conn.execute(query).scalars())


def recent_windows(
    conn: Connection, version_ids: Iterable[int], *, lengths: Iterable[str], span_ms: int
) -> list[RecentWindow]:
    """Return the windows over all rows that end within `span_ms` of what each version is
    judged to, by version and start.
    """
    w, c = t.window.c, t.evaluator_cursor.c
    query = (
        sa.select(*(w[name] for name in RecentWindow._fields))
        .select_from(t.evaluator_cursor)
        .join(t.window, w.version_id == c.version_id)
        .where(
            c.version_id.in_(list(version_ids)),
            w.length.in_(sorted(lengths)),
            w.start_ms >= c.watermark_ms - span_ms,
            w.segment == "all",
        )
        .order_by(w.version_id, w.start_ms)
    )
    return [RecentWindow(*row) for row in conn.execute(query)]


def rows_by_window(conn: Connection, *, length: str, from_ms: int) -> list[tuple[int, int]]:
    """Return (start, predictions of all models) of the judged windows of a length, in order."""
    w = t.window.c
    query = (
        sa.select(w.start_ms, sa.func.sum(w.rows))
        .where(
            # Versions one by one: a step into the key for each, not a walk over all windows.
            w.version_id.in_(sa.select(t.evaluator_cursor.c.version_id)),
            w.length == length,
            w.start_ms >= from_ms,
            w.segment == "all",
        )
        .group_by(w.start_ms)
        .order_by(w.start_ms)
    )
    return [(row[0], int(row[1])) for row in conn.execute(query)]


def latest_findings(
    conn: Connection, version_ids: Iterable[int], *, lengths: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the findings of each version's newest window over all rows, of each length."""
    query = _of_newest(sa.select(*TOLD), t.finding.c, list(version_ids), sorted(lengths))
    return [dict(row._mapping) for row in conn.execute(query)]


def latest_model_windows(
    conn: Connection, version_ids: Iterable[int], *, lengths: Iterable[str]
) -> dict[tuple[int, str], ModelWindow]:
    """Return the verdict on each version's newest window over all rows, by version and length."""
    m, w = t.model_window.c, t.window.c
    query = (
        _of_newest(
            sa.select(
                m.version_id, m.length, m.start_ms, w.end_ms, m.segment, m.judged, m.drifted,
                m.share, m.weighted, m.verdict,
            ),
            m, list(version_ids), sorted(lengths),
        )
        .join(t.window, sa.and_(*(w[name] == m[name] for name in _PLACE)))
    )  # fmt: skip
    return {(row[0], row[1]): ModelWindow(*row[2:]) for row in conn.execute(query)}


def names_judged(
    conn: Connection, version_ids: Iterable[int], *, lengths: Iterable[str]
) -> dict[int, set[str]]:
    """Return the names that each version's newest windows judged, whatever their length."""
    f = t.finding.c
    query = _of_newest(sa.select(f.version_id, f.feature), f, list(version_ids), sorted(lengths))
    found: dict[int, set[str]] = {}
    for version_id, feature in conn.execute(query):
        found.setdefault(version_id, set()).add(feature)
    return found


def _of_newest(
    query: sa.Select[Any], of: Any, version_ids: list[int], lengths: list[str]
) -> sa.Select[Any]:
    """Keep the rows whose columns `of` say that they are of a version's newest windows."""
    newest = sa.union_all(*(_newest(version_ids, length) for length in lengths)).subquery()
    return query.join(
        newest,
        sa.and_(
            of.version_id == newest.c.version_id,
            of.length == newest.c.length,
            of.start_ms == newest.c.start_ms,
            of.segment == "all",
        ),
    )


def _newest(version_ids: list[int], length: str) -> sa.Select[Any]:
    """Select where each version's newest window of a length starts: the end of its key."""
    w = t.window.c
    start = (
        sa.select(w.start_ms)
        .where(w.version_id == t.model_version.c.id, w.length == length, w.segment == "all")
        .order_by(w.start_ms.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(
        t.model_version.c.id.label("version_id"),
        sa.literal(length).label("length"),
        start.label("start_ms"),
    ).where(t.model_version.c.id.in_(version_ids))


def first_panes(conn: Connection, version_ids: Iterable[int]) -> dict[int, FirstPanes]:
    """Return what was counted of versions of which nothing is judged yet: a few panes each."""
    p = t.pane.c
    query = (
        sa.select(
            p.version_id, sa.func.min(p.start_ms), sa.func.max(p.start_ms), sa.func.sum(p.rows)
        )
        .where(p.version_id.in_(list(version_ids)), p.segment == "all")
        .group_by(p.version_id)
    )
    return {row[0]: FirstPanes(row[1], row[2], int(row[3])) for row in conn.execute(query)}
