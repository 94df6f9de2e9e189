"""Incidents of Driftline's own parts: what is wrong though no model is.

They stand beside those of models, under numbers of their own: they have no version, no feature
and no window. One of a subject is open at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t

DELIVERY: Final = "delivery"
PIPELINE: Final = "pipeline"
RETRAIN: Final = "retrain"


@dataclass(frozen=True, slots=True)
class ServiceIncident:
    """What is wrong with a part of Driftline; open while `resolved_ms` is None.

    Attributes
    ----------
    kind
        delivery: an endpoint that was switched off because nothing arrived there. pipeline:
        records are lost or not counted, or a role does not work (`monitor.detect.pipeline`).
        retrain: a retraining of a version was asked for in vain.
    subject, name
        Which one: its number, and what people call it.
    resolved_as
        enabled or removed; of the pipeline recovered or forgotten; of a retraining retrained,
        superseded, archived or deleted.
    """

    id: int
    kind: str
    subject: str
    name: str
    severity: str
    summary: str
    opened_ms: int
    resolved_ms: int | None
    resolved_as: str | None


def begin(
    conn: Connection,
    kind: str,
    subject: str,
    *,
    name: str,
    summary: str,
    now_ms: int,
    severity: str = "warning",
) -> ServiceIncident:
    """Open an incident, or return the one that is open.

    Who may do it in two processes takes turns first (`take_turns(conn, "tell")`).
    """
    standing = _open(conn, kind, subject)
    if standing is not None:
        return standing
    values = {
        "kind": kind,
        "subject": subject,
        "name": name,
        "severity": severity,
        "summary": summary,
        "opened_ms": now_ms,
    }
    query = sa.insert(t.service_incident).values(values).returning(t.service_incident)
    return _incident(conn.execute(query).one())


def end(
    conn: Connection, kind: str, subject: str, how: str, *, now_ms: int
) -> ServiceIncident | None:
    """Resolve the open incident of a subject; None where there is none."""
    standing = _open(conn, kind, subject)
    if standing is None:
        return None
    c = t.service_incident.c
    done = conn.execute(
        sa.update(t.service_incident)
        .where(c.id == standing.id, c.resolved_ms.is_(None))
        .values(resolved_ms=max(now_ms, standing.opened_ms), resolved_as=how)
        .returning(t.service_incident)
    ).one_or_none()
    return None if done is None else _incident(done)


def restate(conn: Connection, incident: ServiceIncident, summary: str) -> None:
    """Say anew what is wrong, while it stands; nobody is told of it."""
    c = t.service_incident.c
    conn.execute(
        sa.update(t.service_incident)
        .where(c.id == incident.id, c.resolved_ms.is_(None))
        .values(summary=summary)
    )


def listed(
    conn: Connection,
    *,
    kind: str | None = None,
    only_open: bool = False,
    before: int | None = None,
    limit: int | None = None,
) -> list[ServiceIncident]:
    """Return incidents, the last opened first; `before` (an id) continues a page."""
    c = t.service_incident.c
    query = sa.select(t.service_incident).order_by(c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(c.kind == kind)
    if only_open:
        query = query.where(c.resolved_ms.is_(None))
    if before is not None:
        query = query.where(c.id < before)
    return [_incident(row) for row in conn.execute(query)]


def _open(conn: Connection, kind: str, subject: str) -> ServiceIncident | None:
    c = t.service_incident.c
    query = sa.select(t.service_incident).where(
        c.kind == kind, c.subject == subject, c.resolved_ms.is_(None)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _incident(row)


def _incident(row: sa.Row[tuple[object, ...]]) -> ServiceIncident:
    return ServiceIncident(**row._mapping)
