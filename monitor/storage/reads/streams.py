"""Positions, counters, dead letters, gaps: what became of every record."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import DeadLetter, Deficit, Gap, Position

DEAD = "dead:"


def positions(conn: Connection) -> list[Position]:
    """Return the partitions of the streams that are being read, by topic and number."""
    c = t.stream_position.c
    columns = [c[name] for name in Position.__slots__ if name != "topic"]
    query = (
        sa.select(*columns, t.stream.c.topic)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .where(t.stream.c.ended_ms.is_(None))
        .order_by(t.stream.c.topic, c.stream_id, c.partition)
    )
    return [Position(**row._mapping) for row in conn.execute(query)]


def outcomes(conn: Connection) -> dict[str, int]:
    """Return how many events ended how, over everything ever read (`dead:<reason>` included)."""
    c = t.counter.c
    query = sa.select(c.outcome, sa.func.sum(c.count)).group_by(c.outcome).order_by(c.outcome)
    return {outcome: int(count) for outcome, count in conn.execute(query)}


def dead_reasons(counts: dict[str, int]) -> dict[str, int]:
    """Return the dead letters of `outcomes` by reason, most frequent first."""
    dead = {k.removeprefix(DEAD): n for k, n in counts.items() if k.startswith(DEAD) and n}
    return dict(sorted(dead.items(), key=lambda item: (-item[1], item[0])))


def dead_letters(
    conn: Connection,
    *,
    reason: str | None = None,
    before: tuple[int, int, int, int, int] | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Return the newest dead letters that were kept; `before`, a `place`, continues a page."""
    c = t.dead_letter.c
    columns = [c[name] for name in DeadLetter.__slots__ if name != "topic"]
    place = (c.created_ms, c.stream_id, c.partition, c.offset, c.line)
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(*(column.desc() for column in place))
        .limit(limit)
    )
    if reason is not None:
        query = query.where(c.reason == reason)
    if before is not None:
        query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
    return [DeadLetter(**row._mapping) for row in conn.execute(query)]


def gaps(conn: Connection) -> list[Gap]:
    """Return what was lost before it could be read, newest first."""
    c = t.data_gap.c
    columns = [c[name] for name in Gap.__slots__ if name != "topic"]
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(c.created_ms.desc(), c.id)
    )
    return [Gap(**row._mapping) for row in conn.execute(query)]


def deficits(conn: Connection) -> list[Deficit]:
    """Return the versions whose records came before their reference, most records first."""
    c = t.deficit.c
    records = sa.func.sum(c.records)
    query = (
        sa.select(c.model, c.version, records, sa.func.min(c.first_ms), sa.func.max(c.last_ms))
        .group_by(c.model, c.version)
        .order_by(records.desc(), c.model, c.version)
    )
    return [Deficit(row[0], row[1], int(row[2]), row[3], row[4]) for row in conn.execute(query)]
