"""The transaction that counts: a stream position moves together with everything it stands for.

Whoever owns a partition writes here and nowhere else. The rules:

1. A claim bumps the partition's epoch; that fences every earlier owner.
2. A checkpoint first moves the position by compare-and-swap on (next offset, epoch). No row
   moved = fenced: the caller rolls back and drops what it holds.
3. Then the registry's revision must be the one the records were admitted with.
4. Then panes, dead letters, counters, deficits are added, all keyed by partition.

So a retry of a commit whose outcome is unknown touches no row, and counts depend on the
log and the registry alone. Functions take a connection inside `engine.transaction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict, Fenced, StorageError
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.delta import Delta, Place, add
from monitor.storage.engine import insert_rows, take_turns, update_of


class RegistryMoved(StorageError):
    """The registry changed since these records were admitted: read them again."""

    def __init__(self, admitted_with: int, now: int) -> None:
        self.admitted_with, self.now = admitted_with, now
        super().__init__(f"the registry is at revision {now}, not {admitted_with}")


@dataclass(frozen=True)
class Stream:
    """One life of a topic."""

    id: int
    cluster_id: str
    topic: str
    topic_id: str
    start_policy: str
    is_new: bool


@dataclass(frozen=True)
class Claim:
    """The right to write one partition, until somebody claims it after us.

    Attributes
    ----------
    next_offset
        First offset that is not counted yet.
    letters
        Dead letters kept so far.
    """

    stream_id: int
    partition: int
    epoch: int
    next_offset: int
    registry_revision: int
    max_event_time_ms: int | None
    pending_advance: str | None
    letters: int


@dataclass(frozen=True)
class Look:
    """A look at the log's end, taken after the last record was read.

    Attributes
    ----------
    end_offset
        Read-uncommitted end.
    fetched_ms
        Wall clock.
    caught_up_for_ms
        For how long position and end have been the same, by the owner's monotonic clock.
    """

    end_offset: int
    fetched_ms: int
    caught_up_for_ms: int


@dataclass(frozen=True)
class Move:
    """From where to where a checkpoint moves a position, and what the position row learns."""

    new_offset: int
    registry_revision: int
    max_event_time_ms: int | None
    pending_advance: str | None
    last_counted_kafka_ms: int | None
    look: Look | None = None


def open_stream(
    conn: Connection,
    *,
    cluster_id: str,
    topic: str,
    topic_id: str,
    start_policy: str,
    group_id: str,
    bounds: Mapping[int, tuple[int, int]],
    now_ms: int,
    forgets: bool = False,
) -> Stream:
    """Return the stream of a topic's present life, creating it where it is new.

    A new stream's partitions get their start here, once and for good; partitions that
    appear later start at 0. When the topic had an earlier life, that one ends as a
    recorded gap, and the new one is read from its beginning whatever the policy says.

    Parameters
    ----------
    bounds
        Beginning and end offset of every partition.
    forgets
        The broker keeps nothing over a restart: an earlier life that was read to
        its end is no gap.

    Raises
    ------
    Conflict
        Another consumer group counts this stream.
    """
    # Two members that start together would both make it.
    take_turns(conn, "stream")
    found = conn.execute(
        _stream_of(), {"at_cluster_id": cluster_id, "at_topic_id": topic_id}
    ).one_or_none()
    if found is not None:
        if found.group_id != group_id:
            raise Conflict(
                f"topic {topic} is counted by group {found.group_id} already: use that group, "
                "or another database"
            )
        return Stream(found.id, cluster_id, topic, topic_id, found.start_policy, False)
    earlier = conn.execute(
        sa.select(t.stream.c.id).where(
            t.stream.c.cluster_id == cluster_id,
            t.stream.c.topic == topic,
            t.stream.c.ended_ms.is_(None),
        )
    ).scalars()
    was_alive = False
    for stream_id in earlier.all():
        was_alive = True
        end_stream(conn, stream_id, now_ms, forgets=forgets)
    policy = "earliest" if was_alive else start_policy
    stream_id = conn.execute(
        sa.insert(t.stream)
        .values(
            cluster_id=cluster_id,
            topic=topic,
            topic_id=topic_id,
            start_policy=policy,
            group_id=group_id,
            created_ms=now_ms,
        )
        .returning(t.stream.c.id)
    ).scalar_one()
    starts = {p: low if policy == "earliest" else high for p, (low, high) in bounds.items()}
    insert_rows(
        conn,
        t.stream_position,
        [_new_position(stream_id, p, start, group_id) for p, start in sorted(starts.items())],
    )
    return Stream(stream_id, cluster_id, topic, topic_id, policy, True)


def end_stream(conn: Connection, stream_id: int, now_ms: int, *, forgets: bool = False) -> None:
    """Close a stream whose topic is gone; what was not read of it becomes a gap."""
    conn.execute(sa.update(t.stream).where(t.stream.c.id == stream_id).values(ended_ms=now_ms))
    rows = conn.execute(
        sa.select(t.stream_position).where(t.stream_position.c.stream_id == stream_id)
    ).all()
    # Its last owner must not write behind our back.
    conn.execute(
        sa.update(t.stream_position)
        .where(t.stream_position.c.stream_id == stream_id)
        .values(claim_epoch=t.stream_position.c.claim_epoch + 1, owner=None)
    )
    for row in rows:
        end = max(row.next_offset, row.end_offset or 0)
        if end > row.next_offset or not forgets:
            _insert_gap(
                conn,
                stream_id,
                row.partition,
                "recreated",
                (row.next_offset, end),
                (row.max_event_time_ms, now_ms),
                now_ms,
            )


def claim(
    conn: Connection,
    *,
    stream_id: int,
    partition: int,
    owner: str,
    group_id: str,
    was_fenced: bool = False,
) -> Claim:
    """Fence every earlier owner of the partition and return where to read from.

    Raises
    ------
    Conflict
        Another consumer group counts this stream.
    """
    here = {"at_stream_id": stream_id, "at_partition": partition}
    values = here | {"to_claim_epoch": 1, "to_owner": owner, "to_fenced": int(was_fenced)}
    names = ("claim_epoch", "owner", "fenced")
    take = update_of(t.stream_position, _HERE, names, _COUNTED)
    moved = conn.execute(take, values).rowcount
    if not moved:  # perhaps another member is making it
        take_turns(conn, "stream")
        moved = conn.execute(take, values).rowcount
    if not moved:
        # The topic grew: all of a new partition's records came after the stream began.
        row = _new_position(stream_id, partition, 0, group_id) | {"claim_epoch": 1, "owner": owner}
        insert_rows(conn, t.stream_position, [row])
    found = conn.execute(_position(), here).one()
    if found.group_id != group_id:
        raise Conflict(f"stream {stream_id} is counted by group {found.group_id} already")
    letters = conn.execute(_n_letters(), here).scalar_one()
    return Claim(
        stream_id=stream_id,
        partition=partition,
        epoch=found.claim_epoch,
        next_offset=found.next_offset,
        registry_revision=found.registry_revision,
        max_event_time_ms=found.max_event_time_ms,
        pending_advance=found.pending_advance,
        letters=letters,
    )


def commit(conn: Connection, held: Claim, move: Move, delta: Delta, now_ms: int) -> Claim:
    """Move the position and store what the records between add; return the claim as it stands.

    Raises
    ------
    Fenced
        Somebody else owns the partition, or this move was made already. Drop everything.
    RegistryMoved
        The records were admitted with a registry that has changed. Read them again.
    """
    values: dict[str, object] = {
        "next_offset": move.new_offset,
        "max_event_time_ms": move.max_event_time_ms,
        "pending_advance": move.pending_advance,
        "registry_revision": move.registry_revision,
        "checkpointed_ms": now_ms,
        "checkpoints": 1,
    }
    if move.last_counted_kafka_ms is not None:
        values["last_counted_kafka_ms"] = move.last_counted_kafka_ms
    _set(conn, held, values | _look_values(move.look))
    now = registry.revision(conn, for_share=True)
    if now != move.registry_revision:
        raise RegistryMoved(move.registry_revision, now)
    if move.registry_revision != held.registry_revision:
        insert_rows(
            conn,
            t.registry_switch,
            [
                {
                    "stream_id": held.stream_id,
                    "partition": held.partition,
                    "registry_revision": move.registry_revision,
                    "switch_offset": held.next_offset,
                }
            ],
        )
    kept = add(
        conn,
        Place(held.stream_id, held.partition),
        delta,
        kept_letters=held.letters,
        now_ms=now_ms,
    )
    return replace(
        held,
        next_offset=move.new_offset,
        registry_revision=move.registry_revision,
        max_event_time_ms=move.max_event_time_ms,
        pending_advance=move.pending_advance,
        letters=held.letters + kept,
    )


def heartbeat(conn: Connection, held: Claim, look: Look) -> None:
    """Say that the partition is being watched although nothing came.

    Raises
    ------
    Fenced
        Somebody else owns the partition.
    """
    _set(conn, held, _look_values(look), guards=_OWNED)


def skip_gap(
    conn: Connection, held: Claim, kind: str, from_offset: int, to_offset: int, now_ms: int
) -> Claim:
    """Record that the log lost [from, to), and move the position past the loss.

    Parameters
    ----------
    kind : {"retention", "truncation"}
        Retention took what was not read yet: the position moves up. Truncation took what
        was counted already: the position moves back, and the counts stay.

    Raises
    ------
    Fenced
        Somebody else owns the partition.
    """
    new = to_offset if kind == "retention" else from_offset
    _set(conn, held, {"next_offset": new})
    _insert_gap(
        conn,
        held.stream_id,
        held.partition,
        kind,
        (from_offset, to_offset),
        (held.max_event_time_ms, now_ms),
        now_ms,
    )
    return replace(held, next_offset=new)


# What a statement about one position asks of its row.
_HERE = ("stream_id", "partition")
_OWNED = (*_HERE, "claim_epoch")
_UNMOVED = (*_OWNED, "next_offset")
# These are counted up by what is given; the others become it.
_COUNTED = frozenset({"claim_epoch", "fenced", "checkpoints"})


def _set(
    conn: Connection, held: Claim, values: Mapping[str, object], guards: tuple[str, ...] = _UNMOVED
) -> None:
    """Write into the position's row, if it still is as the claim knows it; `Fenced` otherwise."""
    known = {
        "stream_id": held.stream_id,
        "partition": held.partition,
        "claim_epoch": held.epoch,
        "next_offset": held.next_offset,
    }
    params: dict[str, object] = {f"at_{name}": known[name] for name in guards}
    params |= {f"to_{name}": value for name, value in values.items()}
    write = update_of(t.stream_position, guards, tuple(values), _COUNTED)
    if conn.execute(write, params).rowcount != 1:
        raise Fenced(held.stream_id, held.partition)


# Statements are built once: building them again takes longer than SQLite takes to run them.


@cache
def _stream_of() -> sa.Select[Any]:
    return sa.select(t.stream).where(_are_at(t.stream.c, ("cluster_id", "topic_id")))


@cache
def _position() -> sa.Select[Any]:
    return sa.select(t.stream_position).where(_are_at(t.stream_position.c, _HERE))


@cache
def _n_letters() -> sa.Select[Any]:
    found = sa.select(sa.func.count()).select_from(t.dead_letter)
    return found.where(_are_at(t.dead_letter.c, _HERE))


def _are_at(columns: Any, names: tuple[str, ...]) -> sa.ColumnElement[bool]:
    return sa.and_(*(columns[name] == sa.bindparam(f"at_{name}") for name in names))


def _new_position(stream_id: int, partition: int, start: int, group_id: str) -> dict[str, object]:
    return {
        "stream_id": stream_id,
        "partition": partition,
        "start_offset": start,
        "next_offset": start,
        "claim_epoch": 0,
        "owner": None,
        "group_id": group_id,
        # No registry has this revision: the first checkpoint notes its own as a switch.
        "registry_revision": -1,
        "caught_up_for_ms": 0,
        "checkpoints": 0,
        "fenced": 0,
    }


def _look_values(look: Look | None) -> dict[str, object]:
    if look is None:
        return {"caught_up_for_ms": 0}
    return {
        "end_offset": look.end_offset,
        "fetched_ms": look.fetched_ms,
        "caught_up_for_ms": look.caught_up_for_ms,
    }


def _insert_gap(
    conn: Connection,
    stream_id: int,
    partition: int,
    kind: str,
    offsets: tuple[int, int],
    times_ms: tuple[int | None, int | None],
    now_ms: int,
) -> None:
    row = {
        "stream_id": stream_id,
        "partition": partition,
        "kind": kind,
        "from_offset": offsets[0],
        "to_offset": offsets[1],
    }
    same = sa.and_(*(t.data_gap.c[name] == value for name, value in row.items()))
    if conn.execute(sa.select(t.data_gap.c.id).where(same)).first() is None:
        conn.execute(
            sa.insert(t.data_gap).values(
                **row, from_ms=times_ms[0], to_ms=times_ms[1], created_ms=now_ms
            )
        )
