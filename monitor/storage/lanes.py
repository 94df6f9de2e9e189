"""A replay's lane: what part of a stream is counted anew, beside what stands, by whom, how far.

1. A stream has one lane. Whoever goes on with it raises its epoch, which fences whoever counted
   before.
2. A checkpoint moves one partition of the lane by compare-and-swap, together with what its
   records add: a replay that was killed goes on where it was, and counts nothing twice.
3. The registry must be the one that the lane was begun with.

Nobody else reads what a lane holds; `under_way` says how far it is. `monitor.storage.swap` puts it
in the place of what stands.
Functions take a connection inside `engine.transaction`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, Fenced
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Move, RegistryMoved
from monitor.storage.delta import MAX_LETTERS, Delta, Place, add_beside
from monitor.storage.engine import insert_rows, take_turns, transaction

# One transaction deletes so many rows of a lane that is given up.
AT_ONCE: Final = 5_000
# A lane whose owner said nothing for so long has none; one writes every five seconds.
STALE_MS: Final = 60_000
_CONTENT: Final = (t.lane_pane, t.lane_unseen, t.lane_counter, t.lane_position)


@dataclass(frozen=True)
class Lane:
    """A replay that was begun.

    Attributes
    ----------
    asked
        What the command said, so that the same command goes on with it.
    versions
        Version id -> start of the first pane that is recounted (epoch ms), 0 for all of them.
    """

    stream_id: int
    epoch: int
    owner: str
    touched_ms: int
    registry_revision: int
    asked: Mapping[str, Any]
    versions: Mapping[int, int]


@dataclass(frozen=True)
class UnderWay:
    """A replay that is not done, as others see it.

    Attributes
    ----------
    model, version
        What the command named; None = all.
    start_ms
        Event time from which panes are recounted; None = all of them.
    begun_ms, seen_ms
        When it began, and the last sign of life of `owner`.
    read, total
        Offsets that are recounted, and those to be: up to where the live consumers are now.
    """

    stream_id: int
    topic: str
    model: str | None
    version: str | None
    start_ms: int | None
    begun_ms: int
    seen_ms: int
    owner: str
    read: int
    total: int

    @property
    def process(self) -> str:
        """Machine and process of the owner, without what tells its runs apart."""
        return ":".join(self.owner.split(":")[:2])

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return self.read / self.total if self.total else 1.0

    def is_stale(self, now_ms: int) -> bool:
        """Whether nobody goes on with it: it was stopped, and the same command goes on."""
        return now_ms - self.seen_ms >= STALE_MS


class Counted(NamedTuple):
    """How far the live consumers are with a partition."""

    start_offset: int
    next_offset: int


def stream_of(conn: Connection, cluster_id: str, topic: str, topic_id: str) -> int | None:
    """Return the id of a topic's present life, None where nothing of it was counted.

    A broker without memory has one for each of its starts, which only its own consumers know.
    """
    s = t.stream.c
    query = (
        sa.select(s.id)
        .where(
            s.cluster_id == cluster_id,
            s.topic == topic,
            s.ended_ms.is_(None),
            sa.or_(s.topic_id == topic_id, s.topic_id.endswith(f":{topic_id}", autoescape=True)),
        )
        .order_by(s.id.desc())
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def counted(conn: Connection, stream_id: int, *, keep: bool = False) -> dict[int, Counted]:
    """Return where each partition stands; `keep` lets nobody move one until the end.

    Whoever writes panes locks the position first, and in the order of partitions.
    """
    p = t.stream_position.c
    query = (
        sa.select(p.partition, p.start_offset, p.next_offset)
        .where(p.stream_id == stream_id)
        .order_by(p.partition)
    )
    if keep:  # PostgreSQL; SQLite's write lock does the same
        query = query.with_for_update()
    return {
        row.partition: Counted(row.start_offset, row.next_offset) for row in conn.execute(query)
    }


def deficits(conn: Connection, stream_id: int) -> dict[tuple[int, str, str], int]:
    """Return (partition, model, version) -> the end of what was read of it before it counted."""
    d = t.deficit.c
    query = sa.select(d.partition, d.model, d.version, d.to_offset).where(d.stream_id == stream_id)
    return {(row.partition, row.model, row.version): row.to_offset for row in conn.execute(query)}


class Recount(NamedTuple):
    """What a replay counted: a version's events from `from_ms` on in `[from_offset, to_offset)`."""

    partition: int
    version_id: int
    from_ms: int
    from_offset: int
    to_offset: int


def recounts(conn: Connection, stream_id: int) -> list[Recount]:
    """Return what replays took the place of what stood, the oldest first."""
    r = t.recount.c
    columns = [r[name] for name in Recount._fields]
    query = sa.select(*columns).where(r.stream_id == stream_id).order_by(r.id)
    return [Recount(*row) for row in conn.execute(query)]


def find(conn: Connection, stream_id: int, *, keep: bool = False) -> Lane | None:
    """Return a stream's lane, None without one; `keep` lets nobody move it until the end."""
    query = sa.select(t.lane).where(t.lane.c.stream_id == stream_id)
    if keep:
        query = query.with_for_update()
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return Lane(
        stream_id=row.stream_id,
        epoch=row.epoch,
        owner=row.owner,
        touched_ms=row.touched_ms,
        registry_revision=row.registry_revision,
        asked=json.loads(row.asked),
        versions={int(key): value for key, value in json.loads(row.versions).items()},
    )


def under_way(conn: Connection, *, topic: str | None = None) -> list[UnderWay]:
    """Return the replays that are not done, by topic; as a rule there is none."""
    s = t.stream.c
    query = sa.select(t.lane, s.topic).join(t.stream, s.id == t.lane.c.stream_id)
    query = query.where(s.ended_ms.is_(None)).order_by(s.topic, s.id)
    if topic is not None:
        query = query.where(s.topic == topic)
    found = []
    for row in conn.execute(query).all():
        asked, first = json.loads(row.asked), min(json.loads(row.versions).values(), default=0)
        live = counted(conn, row.stream_id)
        p = t.lane_position.c
        places = sa.select(p.partition, p.start_offset, p.next_offset).where(
            p.stream_id == row.stream_id
        )
        read = total = 0
        for partition, start, next_offset in conn.execute(places):
            read += next_offset - start
            total += max(next_offset, live.pop(partition, Counted(0, 0)).next_offset) - start
        # Partitions that the topic got since the lane was last gone on with.
        total += sum(at.next_offset - at.start_offset for at in live.values())
        found.append(
            UnderWay(
                row.stream_id, row.topic, asked.get("model"), asked.get("version"), first or None,
                row.created_ms, row.touched_ms, row.owner, read, total,
            )
        )  # fmt: skip
    return found


def begin(
    conn: Connection,
    *,
    stream_id: int,
    owner: str,
    asked: Mapping[str, Any],
    versions: Mapping[int, int],
    starts: Mapping[int, int],
    registry_revision: int,
    now_ms: int,
) -> Lane:
    """Make a stream's lane, each partition of it at its first offset.

    Raises
    ------
    Conflict
        Another replay was faster.
    """
    take_turns(conn, "stream")
    if find(conn, stream_id) is not None:
        raise Conflict("another replay of this topic has just begun: one at a time")
    for table in _CONTENT:  # of one that was given up by a process that was killed then
        conn.execute(sa.delete(table).where(table.c.stream_id == stream_id))
    lane = Lane(stream_id, 1, owner, now_ms, registry_revision, dict(asked), dict(versions))
    insert_rows(
        conn,
        t.lane,
        [
            {
                "stream_id": stream_id,
                "epoch": lane.epoch,
                "owner": owner,
                "touched_ms": now_ms,
                "created_ms": now_ms,
                "registry_revision": registry_revision,
                "asked": json.dumps(lane.asked, sort_keys=True),
                "versions": json.dumps(lane.versions),
            }
        ],
    )
    for partition, start in sorted(starts.items()):
        add_partition(conn, stream_id, partition, start)
    return lane


def add_partition(conn: Connection, stream_id: int, partition: int, start: int) -> None:
    """Let the lane have one more partition: the topic grew."""
    row = {
        "stream_id": stream_id,
        "partition": partition,
        "start_offset": start,
        "next_offset": start,
    }
    insert_rows(conn, t.lane_position, [row])


def take_over(
    conn: Connection, lane: Lane, owner: str, now_ms: int, *, registry_revision: int | None = None
) -> Lane:
    """Go on with a lane as its owner, and fence whoever counted into it before.

    Raises
    ------
    Fenced
        Somebody else has taken it over meanwhile.
    """
    made = replace(
        lane,
        epoch=lane.epoch + 1,
        owner=owner,
        touched_ms=now_ms,
        registry_revision=lane.registry_revision
        if registry_revision is None
        else registry_revision,
    )
    _touch(
        conn, lane, now_ms, epoch=made.epoch, owner=owner, registry_revision=made.registry_revision
    )
    return made


def _touch(conn: Connection, lane: Lane, now_ms: int, **values: Any) -> None:
    moved = conn.execute(
        sa.update(t.lane)
        .where(t.lane.c.stream_id == lane.stream_id, t.lane.c.epoch == lane.epoch)
        .values(touched_ms=now_ms, **values)
    ).rowcount
    if moved != 1:
        raise Fenced(lane.stream_id, -1)


def claims(conn: Connection, lane: Lane) -> dict[int, Claim]:
    """Return each partition of the lane as what a ledger goes on from."""
    p = t.lane_position.c
    return {
        row.partition: Claim(
            stream_id=lane.stream_id,
            partition=row.partition,
            epoch=lane.epoch,
            next_offset=row.next_offset,
            registry_revision=lane.registry_revision,
            max_event_time_ms=row.max_event_time_ms,
            pending_advance=row.pending_advance,
            letters=MAX_LETTERS,  # kept when they were read at first
        )
        for row in conn.execute(sa.select(t.lane_position).where(p.stream_id == lane.stream_id))
    }


def starts(conn: Connection, stream_id: int) -> dict[int, int]:
    """Return the offset at which each partition of the lane began."""
    p = t.lane_position.c
    query = sa.select(p.partition, p.start_offset).where(p.stream_id == stream_id)
    return {row.partition: row.start_offset for row in conn.execute(query)}


def commit(
    conn: Connection, lane: Lane, held: Claim, move: Move, delta: Delta, now_ms: int
) -> Claim:
    """Move one partition of the lane and store what its records add.

    Raises
    ------
    Fenced
        Somebody else goes on with the lane, or gave it up, or this move was made already.
    RegistryMoved
        The registry is another one than the lane was begun with.
    """
    _touch(conn, lane, now_ms)
    p = t.lane_position.c
    moved = conn.execute(
        sa.update(t.lane_position)
        .where(
            p.stream_id == lane.stream_id,
            p.partition == held.partition,
            p.next_offset == held.next_offset,
        )
        .values(
            next_offset=move.new_offset,
            max_event_time_ms=move.max_event_time_ms,
            pending_advance=move.pending_advance,
        )
    ).rowcount
    if moved != 1:
        raise Fenced(lane.stream_id, held.partition)
    now = registry.revision(conn, for_share=True)
    if now != lane.registry_revision:
        raise RegistryMoved(lane.registry_revision, now)
    add_beside(conn, Place(lane.stream_id, held.partition), delta)
    return replace(
        held,
        next_offset=move.new_offset,
        max_event_time_ms=move.max_event_time_ms,
        pending_advance=move.pending_advance,
    )


def abandon(engine: Engine, stream_id: int) -> bool:
    """Give a lane up; False where there is none. Whoever counts into it learns so."""
    with transaction(engine) as conn:
        found = give_up(conn, stream_id)
    drain(engine, stream_id)
    return found


def drain(engine: Engine, stream_id: int) -> None:
    """Delete what a lane held that was given up or has taken its place, a part at a time."""
    is_left = True
    while is_left:
        with transaction(engine) as conn:
            is_left = forget(conn, stream_id) > 0


def ended(conn: Connection, until_ms: int) -> list[int]:
    """Return the streams with a lane whose topic had ended by then (wall clock).

    Nobody can go on with it: what is read of that name now is another stream.
    """
    s = t.stream.c
    query = sa.select(s.id).join(t.lane, t.lane.c.stream_id == s.id).where(s.ended_ms <= until_ms)
    return list(conn.scalars(query.order_by(s.id)))


def orphans(conn: Connection) -> list[int]:
    """Return the streams that hold something of a lane that was given up.

    By a process that ended before it had forgotten all of it.
    """
    p = t.lane_position.c
    is_here = sa.exists().where(t.lane.c.stream_id == p.stream_id)
    query = sa.select(p.stream_id).distinct().where(~is_here)
    return list(conn.scalars(query.order_by(p.stream_id)))


def give_up(conn: Connection, stream_id: int) -> bool:
    """Let a lane be no more, before what it holds: nobody goes on with it, or counts into it."""
    return conn.execute(sa.delete(t.lane).where(t.lane.c.stream_id == stream_id)).rowcount > 0


def forget(conn: Connection, stream_id: int) -> int:
    """Delete some of what a lane held that was given up; return how many rows, 0 at the end.

    Its positions go last: as long as there are any, `orphans` finds the rest.
    """
    take_turns(conn, "stream")
    if find(conn, stream_id) is not None:  # somebody has begun another one
        return 0
    left = AT_ONCE
    for table in _CONTENT:
        key = tuple(table.primary_key.columns)
        some = sa.select(*key).where(table.c.stream_id == stream_id).limit(left)
        left -= conn.execute(sa.delete(table).where(sa.tuple_(*key).in_(some))).rowcount
        if not left:
            break
    return AT_ONCE - left
