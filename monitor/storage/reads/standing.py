"""Why incidents stand or ended: the latches behind them, and the last windows of each."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.reads.judged import IN_AT_MOST


class LatchRow(NamedTuple):
    """One statistic of one length above its limit, from when to when."""

    segment: str
    feature: str
    statistic: str
    length: str
    level: str  # warning | critical
    opened_ms: int
    closed_ms: int | None
    closed_as: str | None  # cleared | expired
    clear_count: int  # clear windows in a row, while it is open


def latches_of(
    conn: Connection, version_id: int, features: Collection[str], segments: Collection[str]
) -> list[LatchRow]:
    """Return every latch of some features in some segments, oldest first."""
    c = t.latch.c
    query = (
        sa.select(
            c.segment, c.feature, c.statistic, c.length, c.level,
            c.opened_ms, c.closed_ms, c.closed_as, c.clear_count,
        )
        .where(c.version_id == version_id)
        .where(c.feature.in_(sorted(features)[:IN_AT_MOST]))
        .where(c.segment.in_(sorted(segments)[:IN_AT_MOST]))
        .order_by(c.opened_ms)
    )  # fmt: skip
    return [LatchRow(*row) for row in conn.execute(query)]


class LastWindow(NamedTuple):
    """One of the newest windows of a length, with the findings of the features asked for."""

    start_ms: int
    end_ms: int
    digest: str
    findings: dict[str, dict[str, Any]]


def last_windows(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str,
    features: Collection[str],
    limit: int,
) -> list[LastWindow]:
    """Return the newest windows of a length and segment, oldest first."""
    w, f = t.window.c, t.finding.c
    newest = (
        sa.select(w.start_ms, w.end_ms, w.reference_digest)
        .where(w.version_id == version_id, w.length == length, w.segment == segment)
        .order_by(w.start_ms.desc())
        .limit(limit)
    )
    found = [LastWindow(*row, findings={}) for row in conn.execute(newest)]
    by_start = {window.start_ms: window for window in found}
    query = sa.select(t.finding).where(
        f.version_id == version_id,
        f.length == length,
        f.segment == segment,
        f.start_ms.in_(list(by_start)),
        f.feature.in_(sorted(features)[:IN_AT_MOST]),
    )
    for row in conn.execute(query):
        by_start[row.start_ms].findings[row.feature] = dict(row._mapping)
    return found[::-1]
