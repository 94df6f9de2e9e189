"""The SQL of latches: the stretches in which one statistic of one length was above its limit."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.episodes import Latch
from monitor.detect.fold import Key
from monitor.detect.incidents import Member
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows

LatchRow = tuple[Key, Latch, int, int]  # key, latch, clear_count, last_evaluable_ms

_KEY = ("version_id", "segment", "feature", "statistic", "length", "level", "opened_ms")


class Refound(NamedTuple):
    """The latches that the fold found in one segment from `from_ms` on."""

    segment: str
    from_ms: int
    latches: Sequence[LatchRow]


def replace_latches(
    conn: Connection, version_id: int, length: str, found: Sequence[Refound]
) -> set[tuple[str, str]]:
    """Put the latches that the fold found in the place of the stored ones of that time.

    Returns
    -------
    set of (feature, statistic)
        Where anything was there before or is there now, in any segment.
    """
    if not found:
        return set()
    c = t.latch.c
    from_ms = {segment: first for segment, first, _ in found}
    since_ms = min(from_ms.values())
    query = sa.select(c.segment, c.feature, c.statistic, c.level, c.opened_ms, c.closed_ms).where(
        c.version_id == version_id,
        c.length == length,
        c.segment.in_(from_ms),
        sa.or_(c.closed_ms.is_(None), c.closed_ms >= since_ms, c.opened_ms >= since_ms),
    )
    stale = {
        (row.segment, Key(row.feature, row.statistic, row.level), row.opened_ms)
        for row in conn.execute(query)
        if row.closed_ms is None or max(row.closed_ms, row.opened_ms) >= from_ms[row.segment]
    }
    rows = [(segment, *latch) for segment, _, latches in found for latch in latches]
    # An expired latch ended before `from_ms` and is found again by the fold.
    stale |= {(segment, key, latch.opened_ms) for segment, key, latch, *_ in rows}
    if stale:
        conn.execute(
            sa.delete(t.latch).where(*(c[name] == sa.bindparam(f"at_{name}") for name in _KEY)),
            [
                {
                    "at_version_id": version_id,
                    "at_segment": segment,
                    "at_feature": key.feature,
                    "at_statistic": key.statistic,
                    "at_length": length,
                    "at_level": key.level,
                    "at_opened_ms": opened_ms,
                }
                for segment, key, opened_ms in sorted(stale)
            ],
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
            for segment, key, latch, clear_count, last_evaluable_ms in rows
        ],
    )
    return {(key.feature, key.statistic) for _, key, _ in stale}


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


def members_by_feature(
    conn: Connection,
    version_id: int,
    segment: str,
    features: sa.Select[tuple[str]],
    statistics: Collection[str],
) -> dict[str, list[Member]]:
    """Return the same of several features in one segment, by feature, in one statement."""
    c = t.latch.c
    query = sa.select(t.latch).where(
        c.version_id == version_id,
        c.segment == segment,
        c.feature.in_(features),
        c.statistic.in_(statistics),
    )
    found: dict[str, list[Member]] = {}
    for row in conn.execute(query):
        found.setdefault(row.feature, []).append(_member(row))
    return dict(sorted(found.items()))


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


def standing_since(conn: Connection, version_id: int, since_ms: int) -> set[tuple[str, str]]:
    """Return (feature, statistic) of every latch that was open then or later, in any segment."""
    c = t.latch.c
    query = (
        sa.select(c.feature, c.statistic)
        .distinct()
        .where(c.version_id == version_id, sa.or_(c.closed_ms.is_(None), c.closed_ms >= since_ms))
    )
    return {(feature, statistic) for feature, statistic in conn.execute(query)}


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
