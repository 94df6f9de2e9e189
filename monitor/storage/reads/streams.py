"""Positions, counters, dead letters, gaps: what became of every record."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import DeadLetter, Deficit, Gap, Late, Position, Tally

DEAD = "dead:"


def positions(conn: Connection, *, topic: str | None = None) -> list[Position]:
    """Return the partitions of the streams that are being read, by topic and number."""
    c = t.stream_position.c
    columns = [c[name] for name in Position.__slots__ if name != "topic"]
    query = (
        sa.select(*columns, t.stream.c.topic)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .where(t.stream.c.ended_ms.is_(None))
        .order_by(t.stream.c.topic, c.stream_id, c.partition)
    )
    return [Position(**row._mapping) for row in conn.execute(_of_topic(query, topic))]


def topics(conn: Connection) -> list[str]:
    """Return the topics that are or were read, by name; one made again is told once."""
    return list(
        conn.execute(sa.select(t.stream.c.topic).distinct().order_by(t.stream.c.topic)).scalars()
    )


def outcomes(conn: Connection) -> dict[str, int]:
    """Return how many events ended how, over everything ever read (`dead:<reason>` included)."""
    c = t.counter.c
    query = sa.select(c.outcome, sa.func.sum(c.count)).group_by(c.outcome).order_by(c.outcome)
    return {outcome: int(count) for outcome, count in conn.execute(query)}


def dead_reasons(counts: dict[str, int]) -> dict[str, int]:
    """Return the dead letters of `outcomes` by reason, most frequent first."""
    dead = {k.removeprefix(DEAD): n for k, n in counts.items() if k.startswith(DEAD) and n}
    return dict(sorted(dead.items(), key=lambda item: (-item[1], item[0])))


def tallies(conn: Connection, *, topic: str | None = None) -> list[Tally]:
    """Return how many events of each partition ended how, over all models."""
    c = t.counter.c
    query = (
        sa.select(t.stream.c.topic, c.partition, c.outcome, sa.func.sum(c.count))
        .join(t.stream, t.stream.c.id == c.stream_id)
        .group_by(t.stream.c.topic, c.partition, c.outcome)
        .order_by(t.stream.c.topic, c.partition, c.outcome)
    )
    rows = conn.execute(_of_topic(query, topic))
    return [Tally(row[0], row[1], row[2], int(row[3])) for row in rows]


def late(conn: Connection, *, topic: str | None = None) -> list[Late]:
    """Return the versions of which events came late, most of them first."""
    c = t.counter.c

    def of(*outcomes: str) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((c.outcome.in_(outcomes), c.count), else_=0))

    late = of("late")
    query = (
        sa.select(c.model, c.version, late, of("prediction", "label", "unmonitored"))
        .join(t.stream, t.stream.c.id == c.stream_id)
        .group_by(c.model, c.version)
        .having(late > 0)
        .order_by(late.desc(), c.model, c.version)
    )
    rows = conn.execute(_of_topic(query, topic))
    return [Late(row[0], row[1], int(row[2]), int(row[3])) for row in rows]


def kept_letters(conn: Connection, *, topic: str | None = None) -> dict[str, int]:
    """Return how many dead letters are kept of each reason: fewer than were counted, at times."""
    c = t.dead_letter.c
    query = (
        sa.select(c.reason, sa.func.count())
        .join(t.stream, t.stream.c.id == c.stream_id)
        .group_by(c.reason)
    )
    return {reason: int(count) for reason, count in conn.execute(_of_topic(query, topic))}


def dead_letters(
    conn: Connection,
    *,
    reason: str | None = None,
    topic: str | None = None,
    before: tuple[int, int, int, int, int] | None = None,
    limit: int = 100,
    with_payload: bool = True,
) -> list[DeadLetter]:
    """Return the newest dead letters that were kept; `before`, a `place`, continues a page.

    A list that shows no payload asks for none (`with_payload`): then it is None everywhere.
    """
    c = t.dead_letter.c
    columns = [
        sa.null().label(name) if name == "payload" and not with_payload else c[name]
        for name in DeadLetter.__slots__
        if name != "topic"
    ]
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
    return [DeadLetter(**row._mapping) for row in conn.execute(_of_topic(query, topic))]


def find_letter(
    conn: Connection, stream_id: int, partition: int, offset: int, line: int
) -> DeadLetter | None:
    """Return one dead letter with its payload."""
    c = t.dead_letter.c
    columns = [c[name] for name in DeadLetter.__slots__ if name != "topic"]
    row = conn.execute(
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .where(
            c.stream_id == stream_id, c.partition == partition, c.offset == offset, c.line == line
        )
    ).one_or_none()
    return None if row is None else DeadLetter(**row._mapping)


def gaps(conn: Connection, *, topic: str | None = None, limit: int | None = None) -> list[Gap]:
    """Return what was lost before it could be read, newest first."""
    c = t.data_gap.c
    columns = [c[name] for name in Gap.__slots__ if name != "topic"]
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(c.created_ms.desc(), c.id)
        .limit(limit)
    )
    return [Gap(**row._mapping) for row in conn.execute(_of_topic(query, topic))]


def lost(conn: Connection, *, topic: str | None = None) -> tuple[int, int]:
    """Return how many gaps there are, and how many offsets they cover together."""
    c = t.data_gap.c
    query = sa.select(
        sa.func.count(), sa.func.coalesce(sa.func.sum(c.to_offset - c.from_offset), 0)
    ).join_from(t.data_gap, t.stream, t.stream.c.id == c.stream_id)
    row = conn.execute(_of_topic(query, topic)).one()
    return int(row[0]), int(row[1])


def deficits(conn: Connection, *, topic: str | None = None) -> list[Deficit]:
    """Return the versions whose records came before their reference, most records first."""
    c = t.deficit.c
    records = sa.func.sum(c.records)
    query = (
        sa.select(c.model, c.version, records, sa.func.min(c.first_ms), sa.func.max(c.last_ms))
        .join(t.stream, t.stream.c.id == c.stream_id)
        .group_by(c.model, c.version)
        .order_by(records.desc(), c.model, c.version)
    )
    return [
        Deficit(row[0], row[1], int(row[2]), row[3], row[4])
        for row in conn.execute(_of_topic(query, topic))
    ]


def _of_topic(query: sa.Select[Any], topic: str | None) -> sa.Select[Any]:
    return query if topic is None else query.where(t.stream.c.topic == topic)
