"""What the service tells Prometheus: a few grouped statements, whatever was counted or sent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import breakers, heartbeats, lanes
from monitor.storage import schema as t
from monitor.storage.heartbeats import Beat
from monitor.storage.reads.streams import positions
from monitor.storage.rows import OPEN_STATES, Position
from monitor.windows.watermark import PartitionTime

ROLES = ("ingest", "evaluate", "deliver", "web")
DELIVERY_STATES = ("pending", "delivered", "dead", "cancelled")
SEVERITIES = ("warning", "critical")


@dataclass(frozen=True, slots=True)
class VersionTime:
    """One version of a model that is judged, and how far.

    Attributes
    ----------
    judged_to_ms
        Event time; None = nothing of it was judged yet.
    partitions
        What the partitions that its events came from say about time.
    """

    model: str
    version: str
    monitor: str | None
    judged_to_ms: int | None
    partitions: tuple[PartitionTime, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the database knows at one moment.

    Attributes
    ----------
    outcomes
        Events by (model, outcome); the model is "" where it is not registered.
    incidents
        Open ones by (model, severity); every registered model is there.
    deliveries
        Messages by state; `due_ms` is when the first pending one is or was due.
    gaps
        By kind: how many, and how many offsets they cover.
    stopped, replayed
        Ids of the streams whose consumers stand still, and of those of which a replay is not done.
    """

    positions: tuple[Position, ...]
    outcomes: dict[tuple[str, str], int]
    versions: tuple[VersionTime, ...]
    incidents: dict[tuple[str, str], int]
    deliveries: dict[str, int]
    due_ms: int | None
    endpoints_disabled: int
    gaps: dict[str, tuple[int, int]]
    beats: tuple[Beat, ...]
    stopped: frozenset[int]
    replayed: frozenset[int]


def measured(conn: Connection) -> Measured:
    """Return what the database knows now."""
    places = positions(conn)
    return Measured(
        positions=tuple(places),
        outcomes=_outcomes(conn),
        versions=_versions(conn, places),
        incidents=_incidents(conn),
        deliveries=_deliveries(conn),
        due_ms=_due_ms(conn),
        endpoints_disabled=_endpoints_disabled(conn),
        gaps=_gaps(conn),
        beats=tuple(beat for role in ROLES for beat in heartbeats.of_role(conn, role)),
        stopped=frozenset(stop.stream_id for stop in breakers.standing(conn)),
        replayed=frozenset(each.stream_id for each in lanes.under_way(conn)),
    )


def _outcomes(conn: Connection) -> dict[tuple[str, str], int]:
    c = t.counter.c
    # A literal: PostgreSQL takes two parameters for two different things.
    name = sa.func.coalesce(t.model.c.name, sa.literal_column("''"))
    query = (
        sa.select(name, c.outcome, sa.func.sum(c.count))
        .select_from(t.counter)
        .outerjoin(t.model, t.model.c.name == c.model)
        .group_by(name, c.outcome)
        .order_by(name, c.outcome)
    )
    return {(row[0], row[1]): int(row[2]) for row in conn.execute(query)}


def _versions(conn: Connection, places: list[Position]) -> tuple[VersionTime, ...]:
    """Two statements for all versions together: who they are, and the streams they come from."""
    v, m, c = t.model_version.c, t.model.c, t.evaluator_cursor.c
    newest = (
        sa.select(t.monitor.c.model_id, sa.func.max(t.monitor.c.revision).label("revision"))
        .group_by(t.monitor.c.model_id)
        .subquery()
    )
    asked = (
        sa.select(m.name.label("model"), v.name.label("version"), t.monitor.c.spec, c.watermark_ms)
        .select_from(t.model_version)
        .join(t.model, m.id == v.model_id)
        .outerjoin(newest, newest.c.model_id == m.id)
        .outerjoin(
            t.monitor,
            sa.and_(
                t.monitor.c.model_id == m.id, t.monitor.c.revision == newest.c.revision
            ),
        )
        .outerjoin(t.evaluator_cursor, c.version_id == v.id)
        .where(m.archived_ms.is_(None))
        .order_by(m.name, v.name)
    )  # fmt: skip
    k = t.counter.c
    came_from = (
        sa.select(k.model, k.version, k.stream_id)
        .distinct()
        .join(t.model, m.name == k.model)
        .join(t.model_version, sa.and_(v.model_id == m.id, v.name == k.version))
        .where(m.archived_ms.is_(None))
    )
    streams: dict[tuple[str, str], set[int]] = defaultdict(set)
    for model, version, stream_id in conn.execute(came_from):
        streams[model, version].add(stream_id)
    found = []
    for row in conn.execute(asked):
        ids = streams.get((row.model, row.version), set())
        times = tuple(
            PartitionTime(p.partition, p.max_event_time_ms, p.caught_up_for_ms, p.fetched_ms)
            for p in places
            if p.stream_id in ids
        )
        found.append(VersionTime(row.model, row.version, row.spec, row.watermark_ms, times))
    return tuple(found)


def _incidents(conn: Connection) -> dict[tuple[str, str], int]:
    i, v, m = t.incident.c, t.model_version.c, t.model.c
    known = conn.execute(sa.select(m.name).order_by(m.name)).scalars()
    found = {(name, severity): 0 for name in known for severity in SEVERITIES}
    query = (
        sa.select(m.name, i.severity, sa.func.count())
        .join(t.model_version, v.id == i.version_id)
        .join(t.model, m.id == v.model_id)
        .where(i.state.in_(OPEN_STATES))
        .group_by(m.name, i.severity)
    )
    return found | {(row[0], row[1]): int(row[2]) for row in conn.execute(query).all()}


def _deliveries(conn: Connection) -> dict[str, int]:
    o = t.outbox.c
    query = sa.select(o.state, sa.func.count()).group_by(o.state)
    return dict.fromkeys(DELIVERY_STATES, 0) | {
        state: int(count) for state, count in conn.execute(query)
    }


def _due_ms(conn: Connection) -> int | None:
    o, e = t.outbox.c, t.endpoint.c
    query = (
        sa.select(sa.func.min(o.due_ms))
        .join(t.endpoint, e.id == o.endpoint_id)
        .where(o.state == "pending", e.disabled_ms.is_(None))
    )
    found: int | None = conn.execute(query).scalar_one()
    return found


def _endpoints_disabled(conn: Connection) -> int:
    e = t.endpoint.c
    query = (
        sa.select(sa.func.count())
        .select_from(t.endpoint)
        .where(e.removed_ms.is_(None), e.disabled_ms.is_not(None))
    )
    return int(conn.execute(query).scalar_one())


def _gaps(conn: Connection) -> dict[str, tuple[int, int]]:
    c = t.data_gap.c
    query = sa.select(c.kind, sa.func.count(), sa.func.sum(c.to_offset - c.from_offset))
    return {row[0]: (int(row[1]), int(row[2])) for row in conn.execute(query.group_by(c.kind))}
