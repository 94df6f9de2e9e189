"""A replay's lane in the place of what stands, in one transaction.

Every partition's position is locked first, so that nothing is counted meanwhile; the lane must
have reached each of them. What is equal stays as it is. What differs gets a higher revision, so
that its windows are stale, and every version's evaluator is told from when on to judge again,
however long ago that was. Readers see all of it or nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Fenced
from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile
from monitor.storage import lanes, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import RegistryMoved
from monitor.storage.engine import insert_rows, transaction, without_timeouts
from monitor.storage.lanes import Lane
from monitor.storage.models import note
from monitor.storage.registry import Registry

ALL = "all"
# Outcomes of a version's predictions, and of labels, which belong to the whole model.
PREDICTIONS = ("prediction", "unmonitored", "unknown_feature", "late")
LABELS = ("label", "unmonitored", "late")
RECOVERED = "recovered"
# Only those two can pass rows whose key is there.
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_KEY = ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition")


class NotWhole(Exception):
    """The log no longer holds a pane whole: it would be put in the place of a fuller one."""

    def __init__(self, version_id: int, start_ms: int, rows: int, found: int) -> None:
        self.version_id, self.start_ms, self.rows, self.found = version_id, start_ms, rows, found
        super().__init__(f"pane {start_ms} holds {rows} rows, the log {found}")


class Uploaded(Exception):
    """What would be counted now was uploaded as history: it would count twice."""

    def __init__(self, version_id: int, start_ms: int) -> None:
        self.version_id, self.start_ms = version_id, start_ms
        super().__init__(f"pane {start_ms} was uploaded")


@dataclass
class Swapped:
    """What a swap did.

    Attributes
    ----------
    changed_ms
        Version id -> start of the first pane that differs; a version without one is as it was.
    panes
        How many differ.
    recovered
        Events that were unmonitored and are counted now.
    """

    changed_ms: dict[int, int] = field(default_factory=dict)
    panes: int = 0
    recovered: int = 0


def prepare(db: Engine) -> None:
    """Let PostgreSQL see how many panes there are, so that it plans the swap for as many.

    Its own look at new tables comes when it has time.
    """
    if db.dialect.name == "postgresql":
        with transaction(db) as conn:
            conn.exec_driver_sql("ANALYZE pane, pane_day, lane_pane")


def behind(conn: Connection, lane: Lane) -> dict[int, int]:
    """Lock every position and the lane; return the partitions that live is ahead in, and where.

    Raises
    ------
    Fenced
        Somebody else goes on with the lane, or gave it up.
    """
    without_timeouts(conn)
    live = lanes.counted(conn, lane.stream_id, keep=True)
    found = lanes.find(conn, lane.stream_id, keep=True)
    if found is None or found.epoch != lane.epoch:
        raise Fenced(lane.stream_id, -1)
    here = lanes.claims(conn, lane)
    return {
        partition: at.next_offset
        for partition, at in live.items()
        if partition not in here or here[partition].next_offset != at.next_offset
    }


def hold_live(conn: Connection, stream_id: int) -> None:
    """Fence the live consumers once: reading again takes them longer than the rest takes us."""
    p = t.stream_position.c
    conn.execute(
        sa.update(t.stream_position)
        .where(p.stream_id == stream_id)
        .values(claim_epoch=p.claim_epoch + 1)
    )


def swap(
    conn: Connection,
    lane: Lane,
    known: Registry,
    *,
    is_whole: bool,
    lost: Collection[int],
    whole_models: Collection[str],
    actor: str,
    now_ms: int,
) -> Swapped:
    """Put the lane in the place of what stands; `behind` must have returned nothing before.

    What it held is left for `lanes.drain`: nobody waits for that.

    Parameters
    ----------
    is_whole
        Every partition was read from where counting it began, and every pane is recounted.
    lost
        Partitions whose beginning the log no longer holds.
    whole_models
        Models of which all versions are recounted, so that their labels are, too.

    Raises
    ------
    RegistryMoved
        The registry is another one than the lane was counted with.
    NotWhole
        Of a partition in `lost` a pane holds more than the log does.
    Uploaded
        A time of which nothing was counted before was uploaded as history.
    """
    now = registry.revision(conn, for_share=True)
    if now != lane.registry_revision:
        raise RegistryMoved(lane.registry_revision, now)
    bound = {each.version_id: each for each in known.versions.values()}
    made = Swapped()
    for version_id in sorted(lane.versions):
        # What an evaluator has read of it is not written any more.
        conn.execute(
            sa.update(t.evaluator_cursor)
            .where(t.evaluator_cursor.c.version_id == version_id)
            .values(epoch=t.evaluator_cursor.c.epoch + 1)
        )
    for version_id, from_ms in sorted(lane.versions.items()):
        grids = {
            known.references[digest].gridset.digest: known.references[digest].gridset
            for _, digest in bound[version_id].bindings
        }
        for partition in sorted(lost):
            _refuse_loss(conn, lane, version_id, from_ms, partition)
        _refuse_uploaded(conn, lane, version_id, from_ms)
        _replace_panes(conn, lane, version_id, from_ms, grids, made)
    if is_whole:
        _replace_counters(conn, lane, known, whole_models, made)
        _replace_unseen(conn, lane)
    else:
        _move_counters(conn, lane, made)
    for version_id, changed_ms in made.changed_ms.items():
        judge_again(conn, version_id, changed_ms)
    _remember(conn, lane, now_ms)
    lanes.give_up(conn, lane.stream_id)
    note(
        conn, actor=actor, action="replay.swap", subject=str(lane.asked.get("model") or "all"),
        now_ms=now_ms, asked=dict(lane.asked), panes=made.panes, recovered=made.recovered,
    )  # fmt: skip
    registry.bump_data_version(conn)
    return made


def _scope(
    table: sa.Table, lane: Lane, version_id: int, from_ms: int
) -> list[sa.ColumnElement[bool]]:
    c = table.c
    return [c.version_id == version_id, c.stream_id == lane.stream_id, c.start_ms >= from_ms]


def _refuse_loss(
    conn: Connection, lane: Lane, version_id: int, from_ms: int, partition: int
) -> None:
    p, own = t.pane.c, t.lane_pane.c
    same = sa.and_(*(p[name] == own[name] for name in _KEY))
    found = sa.func.coalesce(own.rows, 0)
    query = (
        sa.select(p.start_ms, p.rows, found)
        .select_from(t.pane.outerjoin(t.lane_pane, same))
        .where(
            *_scope(t.pane, lane, version_id, from_ms),
            p.partition == partition,
            p.segment == ALL,
            p.rows > found,
        )
        .order_by(p.start_ms.desc())
        .limit(1)
    )
    for each in (query, _fuller_day(lane, version_id, from_ms, partition)):
        for start_ms, rows, lane_rows in conn.execute(each):
            raise NotWhole(version_id, start_ms, rows, lane_rows)


def _fuller_day(
    lane: Lane, version_id: int, from_ms: int, partition: int
) -> sa.Select[tuple[int, int, int]]:
    """Ask for the last day to which hours were added up and that holds more than the log does."""
    d = t.pane_day.c

    def hours(table: sa.Table) -> sa.ScalarSelect[int]:
        same = [table.c[name] == d[name] for name in _KEY if name != "start_ms"]
        of_day = (table.c.start_ms >= d.start_ms, table.c.start_ms < d.end_ms)
        rows = sa.func.coalesce(sa.func.sum(table.c.rows), 0)
        return sa.select(rows).where(*same, *of_day).correlate(t.pane_day).scalar_subquery()

    # Hours that came after the day was made stand beside it.
    rows, found = d.rows + hours(t.pane), hours(t.lane_pane)
    where = _scope(t.pane_day, lane, version_id, from_ms)
    where += [d.partition == partition, d.segment == ALL, d.rows > 0, rows > found]
    return sa.select(d.start_ms, rows, found).where(*where).order_by(d.start_ms.desc()).limit(1)


def _refuse_uploaded(conn: Connection, lane: Lane, version_id: int, from_ms: int) -> None:
    u, own = t.upload.c, t.lane_pane.c
    is_there = sa.exists().where(u.version_id == version_id, u.counted_ms.is_not(None))
    if not conn.execute(sa.select(is_there)).scalar_one():  # as a rule
        return
    stands, hour, day = t.pane.alias().c, t.pane.alias().c, t.pane_day.alias().c

    def same(c: Any) -> list[sa.ColumnElement[bool]]:
        return [c.version_id == version_id, c.gridset == own.gridset, c.segment == ALL, c.rows > 0]

    at_hour = sa.exists().where(*same(hour), hour.start_ms == own.start_ms, hour.stream_id < 0)
    in_day = sa.exists().where(
        *same(day), day.start_ms <= own.start_ms, day.end_ms > own.start_ms, day.stream_id < 0
    )
    was_there = sa.exists().where(
        *same(stands), stands.start_ms == own.start_ms, stands.stream_id == lane.stream_id
    )
    start_ms = conn.execute(
        sa.select(sa.func.min(own.start_ms)).where(
            *_scope(t.lane_pane, lane, version_id, from_ms),
            own.segment == ALL,
            own.rows > 0,
            sa.or_(at_hour, in_day),
            ~was_there,
        )
    ).scalar()
    if start_ms is not None:
        raise Uploaded(version_id, start_ms)


def _replace_panes(
    conn: Connection,
    lane: Lane,
    version_id: int,
    from_ms: int,
    grids: Mapping[str, Gridset],
    made: Swapped,
) -> None:
    p, own = t.pane.c, t.lane_pane.c
    here, beside = (_scope(table, lane, version_id, from_ms) for table in (t.pane, t.lane_pane))
    same = [p[name] == own[name] for name in _KEY]
    starts: list[int] = []
    # The hours of a rolled-up day are back: its row stays, empty, for the sum of revisions.
    for table, is_gone in (
        (t.pane, ~sa.exists().where(*same).correlate(t.pane)),
        (t.pane_day, sa.true()),
    ):
        starts += empty(conn, table, [*_scope(table, lane, version_id, from_ms), is_gone], grids)
    differing = (
        sa.update(t.pane)
        .where(*here, *same, sa.or_(p.body != own.body, p.rows != own.rows))
        .values(rev=p.rev + 1, rows=own.rows, body=own.body)
    )
    starts += conn.execute(differing.returning(p.start_ms)).scalars()
    names = [column.name for column in t.pane.columns]
    every = sa.select(*(own[name] for name in names)).where(*beside)
    # Those that are there are passed by the key: a join would be planned for the few panes that
    # PostgreSQL may believe there are, and take as long as their number squared.
    fresh = _INSERTS[conn.dialect.name](t.pane).from_select(names, every)
    starts += conn.execute(fresh.on_conflict_do_nothing().returning(p.start_ms)).scalars()
    if starts:
        made.changed_ms[version_id] = min(starts)
        made.panes += len(starts)


def empty(
    conn: Connection,
    table: sa.Table,
    where: Iterable[sa.ColumnElement[bool]],
    grids: Mapping[str, Gridset],
) -> list[int]:
    """Take the rows out of panes, and leave the panes: their windows are stale."""
    where = [*where, table.c.rows > 0]
    starts: list[int] = []
    # As a rule there are none, and one look at all of them is enough.
    if not conn.execute(sa.select(sa.exists().where(*where))).scalar_one():
        return starts
    for digest, gridset in grids.items():
        for with_sums in (True, False):
            of_all = table.c.segment == ALL if with_sums else table.c.segment != ALL
            body = Profile.empty(gridset, with_sums=with_sums).to_bytes()
            emptied = (
                sa.update(table)
                .where(*where, of_all, table.c.gridset == digest)
                .values(rev=table.c.rev + 1, rows=0, body=body)
            )
            starts += conn.execute(emptied.returning(table.c.start_ms)).scalars()
    strange = sa.delete(table).where(*where, table.c.gridset.not_in(list(grids)))
    return [*starts, *conn.execute(strange.returning(table.c.start_ms)).scalars()]


def _replace_counters(
    conn: Connection, lane: Lane, known: Registry, whole_models: Collection[str], made: Swapped
) -> None:
    """What became of the events of these versions is what the lane says, and no deficit is left."""
    c, own, d = t.counter.c, t.lane_counter.c, t.deficit.c
    parts: list[tuple[sa.Table, sa.ColumnElement[bool]]] = []
    for table in (t.counter, t.lane_counter):
        k = table.c
        mine = [
            sa.and_(k.model == each.model, k.version == each.version, k.outcome.in_(PREDICTIONS))
            for each in known.versions.values()
            if each.version_id in lane.versions
        ]
        mine += [
            sa.and_(
                k.model == model,
                sa.or_(k.outcome == "label", sa.and_(k.version == "", k.outcome.in_(LABELS))),
            )
            for model in sorted(whole_models)
        ]
        parts.append((table, sa.and_(k.stream_id == lane.stream_id, sa.or_(*mine))))
    (_, here), (_, beside) = parts
    unmonitored = sa.select(sa.func.coalesce(sa.func.sum(c["count"]), 0)).where(
        here, c.outcome == "unmonitored", c.version != ""
    )
    made.recovered = int(conn.execute(unmonitored).scalar_one())
    conn.execute(sa.delete(t.counter).where(here))
    names = [column.name for column in t.counter.columns]
    fresh = sa.select(*(own[name] for name in names)).where(beside)
    conn.execute(sa.insert(t.counter).from_select(names, fresh))
    for each in known.versions.values():
        if each.version_id in lane.versions:
            conn.execute(
                sa.delete(t.deficit).where(
                    d.stream_id == lane.stream_id, d.model == each.model, d.version == each.version
                )
            )


def _move_counters(conn: Connection, lane: Lane, made: Swapped) -> None:
    """Events that were unmonitored and are counted now become predictions."""
    own, c, d = t.lane_counter.c, t.counter.c, t.deficit.c
    query = sa.select(t.lane_counter).where(
        own.stream_id == lane.stream_id, own.outcome == RECOVERED
    )
    for row in conn.execute(query).all():
        here = (c.stream_id == lane.stream_id, c.partition == row.partition)
        name = (c.model == row.model, c.version == row.version)
        stored = Counter(
            {
                found.outcome: found._mapping["count"]
                for found in conn.execute(sa.select(t.counter).where(*here, *name))
            }
        )
        n = min(row._mapping["count"], stored["unmonitored"])
        made.recovered += n
        for outcome, count in (
            ("prediction", stored["prediction"] + n),
            ("unmonitored", stored["unmonitored"] - n),
        ):
            conn.execute(sa.delete(t.counter).where(*here, *name, c.outcome == outcome))
            if count:
                key = {"stream_id": lane.stream_id, "partition": row.partition}
                key |= {"model": row.model, "version": row.version, "outcome": outcome}
                insert_rows(conn, t.counter, [key | {"count": count}])
        lack = [
            d.stream_id == lane.stream_id, d.partition == row.partition,
            d.model == row.model, d.version == row.version,
        ]  # fmt: skip
        conn.execute(sa.update(t.deficit).where(*lack).values(records=d.records - n))
        conn.execute(sa.delete(t.deficit).where(*lack, d.records <= 0))


def _replace_unseen(conn: Connection, lane: Lane) -> None:
    u, own = t.unseen_value.c, t.lane_unseen.c
    conn.execute(
        sa.delete(t.unseen_value).where(
            u.stream_id == lane.stream_id, u.version_id.in_(sorted(lane.versions))
        )
    )
    names = [column.name for column in t.unseen_value.columns]
    fresh = sa.select(*(own[name] for name in names)).where(own.stream_id == lane.stream_id)
    conn.execute(sa.insert(t.unseen_value).from_select(names, fresh))


def judge_again(conn: Connection, version_id: int, changed_ms: int) -> None:
    """Tell the evaluator from when on, and let it learn anew what it learnt of what differs."""
    c, k, w = t.evaluator_cursor.c, t.calibration.c, t.window.c
    since = sa.func.coalesce(c.rejudge_from_ms, changed_ms)
    moved = conn.execute(
        sa.update(t.evaluator_cursor)
        .where(c.version_id == version_id)
        .values(rejudge_from_ms=sa.case((since < changed_ms, since), else_=changed_ms))
    ).rowcount
    if not moved:
        fresh = {"version_id": version_id, "epoch": 1, "rejudge_from_ms": changed_ms}
        insert_rows(conn, t.evaluator_cursor, [fresh])
    first = sa.select(t.calibration).where(k.version_id == version_id, k.revision == 1)
    for row in conn.execute(first).all():
        if changed_ms < json.loads(row.windows)[-1][1]:
            here = [column == row._mapping[column.name] for column in t.calibration.primary_key]
            conn.execute(sa.delete(t.calibration).where(*here))
            # Windows that did not change were judged by it, too: no sum of revisions is -1.
            conn.execute(
                sa.update(t.window)
                .where(
                    w.version_id == version_id,
                    w.length == row.length,
                    w.segment == row.segment,
                    w.end_ms > changed_ms,
                )
                .values(rev_sum=-1)
            )


def _remember(conn: Connection, lane: Lane, now_ms: int) -> None:
    starts = lanes.starts(conn, lane.stream_id)
    live = lanes.counted(conn, lane.stream_id)
    insert_rows(
        conn,
        t.recount,
        [
            {
                "stream_id": lane.stream_id,
                "partition": partition,
                "version_id": version_id,
                "from_ms": from_ms,
                "from_offset": starts[partition],
                "to_offset": at.next_offset,
                "registry_revision": lane.registry_revision,
                "created_ms": now_ms,
            }
            for version_id, from_ms in sorted(lane.versions.items())
            for partition, at in sorted(live.items())
        ],
    )
