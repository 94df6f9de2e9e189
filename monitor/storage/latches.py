"""The SQL of latches: the stretches in which one statistic of one length was above its limit."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.episodes import Latch
from monitor.detect.fold import Key
from monitor.detect.incidents import Member
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows

LatchRow = tuple[Key, Latch, int, int]  # key, latch, clear_count, last_evaluable_ms


def replace_latches(
    conn: Connection,
    version_id: int,
    segment: str,
    length: str,
    from_ms: int,
    latches: Sequence[LatchRow],
) -> set[tuple[str, str]]:
    """Put the latches that the fold found from `from_ms` on in the place of the stored ones.

    Returns
    -------
    set of (feature, statistic)
        Where anything was there before or is there now.
    """
    c = t.latch.c
    here = (c.version_id == version_id, c.segment == segment, c.length == length)
    concerned = {(key.feature, key.statistic) for key, *_ in latches}
    stale = sa.or_(c.closed_ms.is_(None), c.closed_ms >= from_ms, c.opened_ms >= from_ms)
    for row in conn.execute(sa.select(c.feature, c.statistic).where(*here, stale)):
        concerned.add((row.feature, row.statistic))
    conn.execute(sa.delete(t.latch).where(*here, stale))
    if latches:
        # An expired latch ended before `from_ms` and is found again by the fold.
        conn.execute(
            sa.delete(t.latch).where(
                *here,
                sa.tuple_(c.feature, c.statistic, c.level, c.opened_ms).in_(
                    [(*key, latch.opened_ms) for key, latch, *_ in latches]
                ),
            )
        )
    insert_rows(
        conn,
        t.latch,
        [
            {
                "version_id": version_id,
                "segment": segment,
                "length": length,
                "feature": key.feature,
                "statistic": key.statistic,
                "level": key.level,
                "opened_ms": latch.opened_ms,
                "last_ms": latch.last_ms,
                "closed_ms": latch.closed_ms,
                "closed_as": latch.closed_as,
                "clear_count": clear_count,
                "last_evaluable_ms": last_evaluable_ms,
                "exceeding": json.dumps(latch.exceeding),
            }
            for key, latch, clear_count, last_evaluable_ms in latches
        ],
    )
    return concerned


def members(
    conn: Connection,
    version_id: int,
    segments: Collection[str],
    feature: str,
    statistics: Collection[str],
) -> dict[str, list[Member]]:
    """Return the latches that a feature's incidents are derived from, by segment."""
    c = t.latch.c
    query = sa.select(t.latch).where(
        c.version_id == version_id,
        c.segment.in_(segments),
        c.feature == feature,
        c.statistic.in_(statistics),
    )
    found: dict[str, list[Member]] = {}
    for row in conn.execute(query):
        found.setdefault(row.segment, []).append(_member(row))
    return found


def open_latches(conn: Connection, version_id: int) -> list[tuple[str, Key, Member, int]]:
    """Return (segment, key, member, last evaluable end) of every latch that is open."""
    c = t.latch.c
    query = sa.select(t.latch).where(c.version_id == version_id, c.closed_ms.is_(None))
    return [
        (
            row.segment,
            Key(row.feature, row.statistic, row.level),
            _member(row),
            row.last_evaluable_ms,
        )
        for row in conn.execute(query)
    ]


def close_latch(
    conn: Connection, version_id: int, segment: str, key: Key, length: str, latch: Latch
) -> None:
    """Store that a latch ended without another window of its length."""
    c = t.latch.c
    conn.execute(
        sa.update(t.latch)
        .where(
            c.version_id == version_id,
            c.segment == segment,
            c.length == length,
            c.feature == key.feature,
            c.statistic == key.statistic,
            c.level == key.level,
            c.opened_ms == latch.opened_ms,
        )
        .values(closed_ms=latch.closed_ms, closed_as=latch.closed_as)
    )


def segments_of(conn: Connection, version_id: int, feature: str) -> list[str]:
    """Return the segments in which a feature has latches or incidents, `all` first."""
    found: set[str] = set()
    for table in (t.latch, t.incident):
        query = (
            sa.select(table.c.segment)
            .distinct()
            .where(table.c.version_id == version_id, table.c.feature == feature)
        )
        found.update(conn.execute(query).scalars())
    return sorted(found, key=lambda segment: (segment != "all", segment))


def _member(row: Any) -> Member:
    latch = Latch(
        opened_ms=row.opened_ms,
        exceeding=tuple((start, end) for start, end in json.loads(row.exceeding)),
        last_ms=row.last_ms,
        closed_ms=row.closed_ms,
        closed_as=row.closed_as,
    )
    return Member(row.statistic, row.length, row.level, latch, row.clear_count)
