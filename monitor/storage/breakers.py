"""What stops a stream's consumers when most of what comes cannot be read, and who let it go on.

A stop stands until an operator accepts it. From then on the flood is let through, until it is
over: then the breaker is armed again. Functions take a connection inside `engine.transaction`,
or `engine.reading` where they only read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import models
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, take_turns


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the consumers of a stream stopped, or did.

    Attributes
    ----------
    partition, next_offset
        Where it was noticed; nothing of that partition is counted from that offset on.
    events, undecodable
        How many of the last events were looked at, and how many of those could not be read.
    reasons
        Those by reason, most of them first.
    samples
        The last of them: offset, line, reason, detail.
    accepted_ms, over_ms
        When an operator let it go on; when most could be read again.
    """

    stream_id: int
    topic: str
    partition: int
    next_offset: int
    tripped_ms: int
    events: int
    undecodable: int
    reasons: Mapping[str, int]
    samples: Sequence[Mapping[str, Any]]
    accepted_ms: int | None = None
    accepted_by: str | None = None
    over_ms: int | None = None

    @property
    def stands(self) -> bool:
        """Whether nothing is counted until somebody accepts it."""
        return self.accepted_ms is None and self.over_ms is None

    @property
    def is_let_through(self) -> bool:
        """Whether it was accepted, and the flood goes on as far as is known."""
        return self.accepted_ms is not None and self.over_ms is None


_STOPS: Final = (
    sa.select(t.breaker, t.stream.c.topic)
    .join(t.stream, t.stream.c.id == t.breaker.c.stream_id)
    .order_by(t.stream.c.topic, t.breaker.c.stream_id)
)
# Built once: it is asked at every claim.
_LAST: Final = _STOPS.where(t.breaker.c.stream_id == sa.bindparam("stream_id"))


def find(conn: Connection, stream_id: int) -> Stop | None:
    """Return the last stop of a stream."""
    found = conn.execute(_LAST, {"stream_id": stream_id}).one_or_none()
    return None if found is None else _stop(found)


def standing(conn: Connection, *, topic: str | None = None) -> list[Stop]:
    """Return the stops that stand, of the streams that are being read, by topic."""
    c = t.breaker.c
    where: list[sa.ColumnElement[bool]] = [
        c.accepted_ms.is_(None),
        c.over_ms.is_(None),
        t.stream.c.ended_ms.is_(None),
    ]
    if topic is not None:
        where.append(t.stream.c.topic == topic)
    return [_stop(row) for row in conn.execute(_STOPS.where(*where))]


def trip(conn: Connection, stop: Stop) -> bool:
    """Write a stop down; False where one was accepted meanwhile, whose flood this is."""
    take_turns(conn, "breaker")
    before = find(conn, stop.stream_id)
    if before is not None and (before.is_let_through or before.stands):
        return before.stands
    conn.execute(sa.delete(t.breaker).where(t.breaker.c.stream_id == stop.stream_id))
    insert_rows(
        conn,
        t.breaker,
        [
            {
                "stream_id": stop.stream_id,
                "partition": stop.partition,
                "next_offset": stop.next_offset,
                "tripped_ms": stop.tripped_ms,
                "events": stop.events,
                "undecodable": stop.undecodable,
                "reasons": json.dumps(dict(stop.reasons)),
                "samples": json.dumps(list(stop.samples)),
            }
        ],
    )
    return True


def accept(conn: Connection, *, actor: str, now_ms: int, topic: str | None = None) -> list[Stop]:
    """Let what stands go on; return it. Where nothing stands, nothing changes."""
    take_turns(conn, "breaker")
    found = standing(conn, topic=topic)
    for stop in found:
        conn.execute(
            sa.update(t.breaker)
            .where(t.breaker.c.stream_id == stop.stream_id)
            .values(accepted_ms=now_ms, accepted_by=actor)
        )
        models.note(
            conn, actor=actor, action="dead_letter.accept", subject=stop.topic, now_ms=now_ms,
            partition=stop.partition, next_offset=stop.next_offset,
        )  # fmt: skip
    return found


def over(conn: Connection, stream_id: int, partition: int, now_ms: int) -> None:
    """Note that most of a partition can be read again: the next flood stops the consumers again.

    Where the flood was noticed in another one it goes on.
    """
    c = t.breaker.c
    conn.execute(
        sa.update(t.breaker)
        .where(
            c.stream_id == stream_id,
            c.partition == partition,
            c.accepted_ms.is_not(None),
            c.over_ms.is_(None),
        )
        .values(over_ms=now_ms)
    )


def _stop(row: sa.Row[Any]) -> Stop:
    values = dict(row._mapping)
    values["reasons"] = json.loads(values["reasons"])
    values["samples"] = json.loads(values["samples"])
    return Stop(**values)
