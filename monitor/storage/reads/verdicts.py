"""How the rule answered lately: verdicts counted, not shown one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.reads.judged import IN_AT_MOST
from monitor.storage.rows import VerdictCount


def verdicts(
    conn: Connection,
    version_id: int,
    spans: Mapping[str, tuple[int, int]],
    *,
    segment: str = "all",
) -> list[VerdictCount]:
    """Return how often each verdict fell, by length and feature.

    Parameters
    ----------
    spans
        {length: (from_ms, to_ms)}: windows that start in `[from_ms, to_ms)`.
    """
    c, w = t.finding.c, t.window.c
    found: list[VerdictCount] = []
    # The starts of the windows say where the rows of the segment are.
    for length, (from_ms, to_ms) in spans.items():
        here = (w.version_id == version_id, w.length == length, w.segment == segment)
        starts = conn.execute(
            sa.select(w.start_ms)
            .where(*here, w.start_ms >= from_ms, w.start_ms < to_ms)
            .order_by(w.start_ms.desc())
            .limit(IN_AT_MOST)
        ).scalars()
        query = (
            sa.select(c.feature, c.verdict, sa.func.count(), sa.func.avg(c.n))
            .where(c.version_id == version_id, c.length == length, c.segment == segment)
            .where(c.start_ms.in_(list(starts)))
            .group_by(c.feature, c.verdict)
        )
        found += [
            VerdictCount(length, row[0], row[1], int(row[2]), float(row[3]))
            for row in conn.execute(query)
        ]
    return found


def newest_starts(
    conn: Connection, version_id: int, lengths: Iterable[str], *, segment: str = "all"
) -> dict[str, int]:
    """Return where the newest judged window of each length starts; a seek each, one statement."""
    w = t.window.c
    parts = []
    for length in lengths:
        here = sa.and_(w.version_id == version_id, w.length == length, w.segment == segment)
        parts.append(sa.select(sa.literal(length), sa.func.max(w.start_ms)).where(here))
    if not parts:
        return {}
    rows = conn.execute(sa.union_all(*parts))
    return {length: int(start) for length, start in rows if start is not None}


def collected(
    conn: Connection,
    version_id: int,
    digest: str,
    lengths: Iterable[str],
    *,
    at_most: int,
    segment: str = "all",
) -> dict[str, int]:
    """Return how many complete windows of each length a reference judged, counted to `at_most`.

    Those that begin before the first event are fragments: nothing is learnt from them.
    """
    w, p, d = t.window.c, t.pane.c, t.pane_day.c
    gridset = sa.select(t.reference.c.gridset).where(t.reference.c.digest == digest)
    first_hour = sa.select(p.start_ms.label("at_ms")).where(
        p.version_id == version_id, p.gridset == gridset.scalar_subquery()
    )
    first_added_up = sa.select(d.first_ms.label("at_ms")).where(
        d.version_id == version_id, d.gridset == gridset.scalar_subquery()
    )
    firsts = sa.union_all(
        sa.select(first_hour.order_by(p.start_ms).limit(1).subquery()),
        sa.select(first_added_up.order_by(d.start_ms, d.first_ms).limit(1).subquery()),
    ).subquery()
    first_ms = sa.select(sa.func.min(firsts.c.at_ms)).scalar_subquery()
    parts = []
    for length in lengths:
        first = (
            sa.select(w.start_ms)
            .where(
                w.version_id == version_id,
                w.length == length,
                w.segment == segment,
                w.reference_digest == digest,
                w.incomplete.is_(None),
                w.start_ms >= sa.func.coalesce(first_ms, 0),
            )
            .limit(at_most)
            .subquery()
        )
        parts.append(sa.select(sa.literal(length), sa.func.count()).select_from(first))
    if not parts:
        return {}
    return {length: int(count) for length, count in conn.execute(sa.union_all(*parts))}
