"""The SQL of alerts: what receivers know of incidents, and what is held back from them.

Written by the evaluator alone, in the transaction that moves its cursor.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.knowledge import (
    HELD_AT_MOST_MS,
    OPEN,
    Alert,
    Held,
    IncidentNow,
    Knowledge,
    KnownIncident,
)
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows
from monitor.storage.evaluation import IN_AT_MOST
from monitor.storage.rows import TOLD_STATES

_ALERT_COLUMNS = tuple(Alert.__slots__)


@dataclass(frozen=True, slots=True)
class StoredKnowledge:
    """What receivers know, with the alerts' rows by their ids."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[int, KnownIncident] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def held(conn: Connection, version_id: int) -> dict[int, Held]:
    """Return which incidents of a version have news that waits, by number."""
    h = t.alert_held.c
    query = sa.select(h.incident_number, h.at_ms, h.recorded_ms, h.silence).where(
        h.version_id == version_id
    )
    return {number: Held(*waits) for number, *waits in conn.execute(query)}


def versions_overdue(conn: Connection, now_ms: int) -> set[int]:
    """Return the versions with news that has waited for a day, or for a silence that is over."""
    h, s = t.alert_held.c, t.silence.c
    is_over = sa.or_(s.number.is_(None), s.until_ms <= now_ms, s.ended_ms <= now_ms)
    query = (
        sa.select(h.version_id)
        .distinct()
        .select_from(t.alert_held.outerjoin(t.silence, s.number == h.silence))
        .where(
            sa.or_(
                sa.and_(h.silence.is_(None), h.recorded_ms <= now_ms - HELD_AT_MOST_MS),
                sa.and_(h.silence.is_not(None), is_over),
            )
        )
    )
    return set(conn.execute(query).scalars())


def incidents(conn: Connection, numbers: Collection[int]) -> dict[int, IncidentNow]:
    """Return incidents by number, as they stand."""
    found: dict[int, IncidentNow] = {}
    for some in _in_parts(numbers):
        found |= _incidents(conn, t.incident.c.number.in_(some))
    return found


def standing_since(conn: Connection, version_id: int, from_ms: int) -> dict[int, IncidentNow]:
    """Return the incidents of a version that stood at `from_ms` or later, by number."""
    c = t.incident.c
    ended = sa.or_(c.resolved_ms.is_(None), c.resolved_ms >= from_ms)
    return _incidents(conn, sa.and_(c.version_id == version_id, ended))


def _incidents(conn: Connection, where: sa.ColumnElement[bool]) -> dict[int, IncidentNow]:
    c = t.incident.c
    query = (
        sa.select(*(c[name] for name in IncidentNow.__slots__))
        .where(where, c.state.in_(TOLD_STATES))
        .order_by(c.number)
    )
    found = {}
    for row in conn.execute(query):
        values = dict(row._mapping)
        values["episodes"] = tuple(int(episode[0]) for episode in json.loads(row.episodes))
        found[row.number] = IncidentNow(**values)
    return found


def known(
    conn: Connection, version_id: int, numbers: Collection[int], alert_ids: Collection[str]
) -> StoredKnowledge:
    """Return alerts of a version with all their members.

    Those that are open, those that tell of any of `numbers`, and those with one of the ids.
    """
    a, i = t.alert.c, t.alert_incident.c
    found = StoredKnowledge()
    is_open = sa.and_(a.version_id == version_id, a.state == OPEN)
    rows = set(conn.execute(sa.select(a.id).where(is_open)).scalars())
    for some in _in_parts(numbers):
        query = sa.select(i.alert_row).distinct().where(i.incident_number.in_(some))
        rows.update(conn.execute(query).scalars())
    if alert_ids:
        query = sa.select(a.id).where(a.alert_id.in_(sorted(alert_ids)))
        rows.update(conn.execute(query).scalars())
    for some in _in_parts(rows):
        query_all = (
            sa.select(
                a.id,
                *(a[name] for name in _ALERT_COLUMNS),
                i.incident_number,
                t.incident.c.kind,
                i.severity,
                i.state,
                i.episodes,
            )
            .join(t.alert_incident, i.alert_row == a.id)
            .join(t.incident, t.incident.c.number == i.incident_number)
            .where(a.id.in_(some))
            .order_by(a.id)  # the oldest first
        )
        for row, *values, number, kind, severity, state, episodes in conn.execute(query_all):
            alert = Alert(*values)
            found.alerts[alert.alert_id], found.rows[alert.alert_id] = alert, row
            found.incidents[number] = KnownIncident(alert.alert_id, kind, severity, state, episodes)
    return found


def warned_ms(conn: Connection, version_id: int) -> int | None:
    """Return the event time of a version's last detection or update below critical."""
    a = t.alert.c
    query = sa.select(sa.func.max(a.warned_ms)).where(a.version_id == version_id)
    found: int | None = conn.execute(query).scalar_one()
    return found


def store(
    conn: Connection,
    version_id: int,
    rows: Mapping[str, int],
    before: Knowledge,
    after: Knowledge,
) -> None:
    """Write what changed from `before` to `after`; `rows` are those of the alerts in `before`."""
    at = dict(rows)
    for alert_id, alert in after.alerts.items():
        if alert_id not in at:
            values = {**asdict(alert), "version_id": version_id}
            query = sa.insert(t.alert).values(values).returning(t.alert.c.id)
            at[alert_id] = conn.execute(query).scalar_one()
        elif alert != before.alerts.get(alert_id):
            conn.execute(
                sa.update(t.alert).where(t.alert.c.id == at[alert_id]).values(asdict(alert))
            )
    told = {
        number: incident
        for number, incident in after.incidents.items()
        if incident != before.incidents.get(number)
    }
    _delete(conn, t.alert_incident, told)
    insert_rows(
        conn,
        t.alert_incident,
        [
            {
                "incident_number": number,
                "alert_row": at[incident.alert_id],
                "severity": incident.severity,
                "state": incident.state,
                "episodes": incident.episodes,
            }
            for number, incident in told.items()
        ],
    )
    waiting = {n: held for n, held in after.held.items() if before.held.get(n) != held}
    _delete(conn, t.alert_held, (before.held.keys() - after.held.keys()) | waiting.keys())
    insert_rows(
        conn,
        t.alert_held,
        [
            {"incident_number": number, "version_id": version_id, **asdict(waits)}
            for number, waits in waiting.items()
        ],
    )


def _delete(conn: Connection, table: sa.Table, numbers: Collection[int]) -> None:
    for some in _in_parts(numbers):
        conn.execute(sa.delete(table).where(table.c.incident_number.in_(some)))


def _in_parts(numbers: Iterable[int]) -> Iterator[list[Any]]:
    """Yield what fits into one IN (...)."""
    ordered = sorted(numbers)
    for place in range(0, len(ordered), IN_AT_MOST):
        yield ordered[place : place + IN_AT_MOST]
