"""Incidents and the one word for a model's health."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import OPEN_STATES, TOLD_STATES, Incident, IncidentEvent

# Later than any window: an incident that stands has no end, and a bound lets an index stop.
FAR_MS = 10**16
EPISODES, EVIDENCE = (Incident.__slots__.index(name) for name in ("episodes", "evidence"))


def incidents(
    conn: Connection,
    *,
    version_ids: Iterable[int] | None = None,
    number: int | None = None,
    numbers: Collection[int] | None = None,
    segment: str | None = None,
    feature: str | None = None,
    kind: str | None = None,
    states: Sequence[str] = TOLD_STATES,
    from_ms: int | None = None,
    to_ms: int | None = None,
    before: int | None = None,
    limit: int | None = None,
    is_outline: bool = False,
    include_archived: bool = False,
) -> list[Incident]:
    """Return incidents, newest number first; `[from_ms, to_ms)` asks for those open in that time.

    Pending ones stay out unless `states` names them, and those that stand of an archived model
    unless they are asked for by number, or `include_archived`. `before` (a number) continues a
    page.
    An outline leaves out what is long: episodes, summary and evidence are empty.
    """
    c = t.incident.c
    names: dict[str, Any] = {"model": t.model.c.name, "version": t.model_version.c.name}
    if is_outline:
        names |= {
            name: sa.literal_column(empty).label(name)
            for name, empty in (("episodes", "'[]'"), ("summary", "''"), ("evidence", "'{}'"))
        }
    query = (
        sa.select(*(names[name] if name in names else c[name] for name in Incident.__slots__))
        .join(t.model_version, t.model_version.c.id == c.version_id)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .where(c.state.in_(states))
        .order_by(c.number.desc())
        .limit(limit)
    )
    if version_ids is not None:
        query = query.where(c.version_id.in_(list(version_ids)))
    if number is None and numbers is None and not include_archived:
        query = query.where(
            sa.or_(t.model.c.archived_ms.is_(None), c.state.not_in(("pending", *OPEN_STATES)))
        )
    if number is not None:
        query = query.where(c.number == number)
    if numbers is not None:
        query = query.where(c.number.in_(sorted(numbers)))
    if segment is not None:
        query = query.where(c.segment == segment)
    if feature is not None:
        query = query.where(c.feature == feature)
    if kind is not None:
        query = query.where(c.kind == kind)
    if before is not None:
        query = query.where(c.number < before)
    if from_ms is not None:
        query = query.where(sa.or_(c.resolved_ms.is_(None), c.resolved_ms > from_ms))
    if to_ms is not None:
        query = query.where(c.first_window_ms < to_ms)
    return [_incident(row) for row in conn.execute(query)]


def _incident(row: sa.Row[Any]) -> Incident:
    """Return a row by place: a year of many models has thousands, and lists ask for all."""
    values = list(row)
    for place in (EPISODES, EVIDENCE):
        values[place] = json.loads(values[place])
    return Incident(*values)


def incident_events(conn: Connection, number: int) -> list[IncidentEvent]:
    """Return what happened to an incident, oldest first."""
    c = t.incident_event.c
    query = (
        sa.select(c.event, c.at_ms, c.recorded_ms, c.detail)
        .where(c.incident_number == number)
        .order_by(c.id)
    )
    return [IncidentEvent(*row) for row in conn.execute(query)]


def histories(conn: Connection, numbers: Iterable[int]) -> dict[int, list[IncidentEvent]]:
    """Return what happened to several incidents, by number, oldest first."""
    c = t.incident_event.c
    query = (
        sa.select(c.incident_number, c.event, c.at_ms, c.recorded_ms, c.detail)
        .where(c.incident_number.in_(list(numbers)))
        .order_by(c.id)
    )
    found: dict[int, list[IncidentEvent]] = {}
    for number, *row in conn.execute(query):
        found.setdefault(number, []).append(IncidentEvent(*row))
    return found


def latest_events(
    conn: Connection,
    *,
    recorded_after_ms: int | None = None,
    at_after_ms: int | None = None,
    limit: int = 400,
) -> list[tuple[int, IncidentEvent]]:
    """Return (incident's number, event), the last recorded first; none of pending incidents."""
    c = t.incident_event.c
    query = (
        sa.select(c.incident_number, c.event, c.at_ms, c.recorded_ms, c.detail)
        .join(t.incident, t.incident.c.number == c.incident_number)
        .where(t.incident.c.state.in_(TOLD_STATES))
        .order_by(c.id.desc())
        .limit(limit)
    )
    if recorded_after_ms is not None:
        query = query.where(c.recorded_ms > recorded_after_ms)
    if at_after_ms is not None:
        query = query.where(c.at_ms > at_after_ms)
    return [(number, IncidentEvent(*row)) for number, *row in conn.execute(query)]


def nearest_numbers(conn: Connection, number: int, *, limit: int = 3) -> tuple[int, ...]:
    """Return the told incidents whose numbers are nearest to one that is not there."""
    c = t.incident.c
    # A number beyond what a database holds is as far from all of them as the largest it does.
    near = max(0, min(number, 2**62))
    query = (
        sa.select(c.number)
        .where(c.state.in_(TOLD_STATES))
        .order_by(sa.func.abs(c.number - near), c.number)
        .limit(limit)
    )
    return tuple(sorted(conn.execute(query).scalars()))


def windows_over(
    conn: Connection, numbers: Iterable[int], *, lengths: Iterable[str]
) -> list[tuple[int, str, str, int]]:
    """Return (number, length, statistics over their limits, windows) of the windows that each
    incident spans: `exceeds` as stored, counted by what it says.
    """
    i, w, f = t.incident.c, t.window.c, t.finding.c
    query = (
        sa.select(i.number, f.length, f.exceeds, sa.func.count())
        .select_from(t.incident)
        .join(
            t.window,
            sa.and_(
                w.version_id == i.version_id,
                w.segment == i.segment,
                w.length.in_(sorted(lengths)),
                w.start_ms >= i.first_window_ms,
                w.start_ms < sa.func.coalesce(i.resolved_ms, FAR_MS),
            ),
        )
        .join(
            t.finding,
            sa.and_(
                f.version_id == w.version_id,
                f.length == w.length,
                # `+ 0` keeps SQLite from going through all segments by their times.
                f.start_ms == w.start_ms + 0,
                f.segment == w.segment,
                f.feature == i.feature,
            ),
        )
        .where(i.number.in_(list(numbers)))
        .group_by(i.number, f.length, f.exceeds)
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in conn.execute(query)]


def health(open_incidents: Iterable[Incident], *, is_judged: bool) -> str:
    """Return the one word for a version: silent, schema_broken, critical, drifting, collecting
    or healthy, the worst first. Only segment `all` and what is not muted counts.
    """
    kinds = {
        (i.kind, i.severity)
        for i in open_incidents
        if i.is_open and i.segment == "all" and not i.muted
    }
    names = {kind for kind, _ in kinds}
    if "volume" in names:
        return "silent"
    if "schema" in names:
        return "schema_broken"
    if any(severity == "critical" for _, severity in kinds):
        return "critical"
    if kinds:
        return "drifting"
    return "healthy" if is_judged else "collecting"
