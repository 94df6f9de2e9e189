"""Reading requests for a retraining, with all that became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


@dataclass(frozen=True, slots=True)
class Run:
    """A training as whoever runs it knows it; `id` is "" where only its page is known.

    `kind` is the trainer's, such as airflow.
    """

    kind: str
    id: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became of a request; `state` is one of its states, live or basis_withdrawn."""

    at_ms: int
    state: str
    actor: str
    words: str


@dataclass(frozen=True, slots=True)
class Retrain:
    """One request for a retraining.

    Attributes
    ----------
    state
        requested, accepted, running, succeeded, failed or expired.
    event_ms
        Event time up to which it was decided; the other times are the wall clock's.
    deadline_ms
        When it expires unless its trainer says something new.
    made_version
        The new version as the trainer says; `live_version` is the one that took over.
    events
        The oldest first.
    """

    id: int
    key: str
    model_id: int
    model: str
    version_id: int
    version: str
    state: str
    is_dry_run: bool
    origin: str
    actor: str
    summary: str
    evidence: Mapping[str, Any]
    basis_withdrawn: bool
    event_ms: int
    requested_ms: int
    deadline_ms: int
    answer_within_ms: int
    endpoint_id: int
    trainer: str
    url: str
    run: Run | None
    look_ms: int | None
    made_version: str | None
    live_version_id: int | None
    live_version: str | None
    live_ms: int | None
    ended_ms: int | None
    events: tuple[Event, ...]

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to come."""
        return self.ended_ms is None


def find(conn: Connection, retrain_id: int, *, for_update: bool = False) -> Retrain | None:
    """Return one request; `for_update` keeps it as it is until the transaction ends."""
    rows = found(conn, t.retrain.c.id == retrain_id, for_update=for_update)
    return rows[0] if rows else None


def open_of(conn: Connection, version_id: int, *, for_update: bool = False) -> Retrain | None:
    """Return the open request of a version, if there is one."""
    r = t.retrain.c
    where = (r.version_id == version_id, r.ended_ms.is_(None), r.is_dry_run.is_(sa.false()))
    rows = found(conn, *where, for_update=for_update)
    return rows[0] if rows else None


def listed(
    conn: Connection,
    *,
    model: str | None = None,
    version: str | None = None,
    state: str | None = None,
    incident: int | None = None,
    only_open: bool = False,
    before: int | None = None,
    limit: int | None = None,
) -> list[Retrain]:
    """Return requests, newest first; `before` (a number) continues a page."""
    r, i = t.retrain.c, t.retrain_incident.c
    where = [] if before is None else [r.id < before]
    if model is not None:
        where.append(t.model.c.name == model)
    if version is not None:
        where.append(t.model_version.c.name == version)
    if state is not None:
        where.append(r.state == state)
    if only_open:
        where.append(r.ended_ms.is_(None))
    if incident is not None:
        own = sa.select(i.retrain_id).where(i.incident_number == incident)
        where.append(r.id.in_(own))
    return found(conn, *where, limit=limit)


def found(
    conn: Connection,
    *where: sa.ColumnElement[bool],
    order: Sequence[Any] | None = None,
    limit: int | None = None,
    for_update: bool = False,
) -> list[Retrain]:
    """Return the requests that a condition means, newest first unless `order` says otherwise."""
    r = t.retrain.c
    new = t.model_version.alias("new")
    query = (
        sa.select(
            t.retrain,
            t.model.c.name.label("model"),
            t.model_version.c.name.label("version"),
            t.endpoint.c.name.label("trainer"),
            new.c.name.label("live_version"),
        )
        .join(t.model, t.model.c.id == r.model_id)
        .join(t.model_version, t.model_version.c.id == r.version_id)
        .join(t.endpoint, t.endpoint.c.id == r.endpoint_id)
        .outerjoin(new, new.c.id == r.live_version_id)
        .where(*where)
        .order_by(*(order or (r.id.desc(),)))
        .limit(limit)
    )
    if for_update:
        query = query.with_for_update(of=t.retrain)
    rows = conn.execute(query).all()
    events = _events(conn, [row.id for row in rows])
    return [_retrain(row, tuple(events.get(row.id, ()))) for row in rows]


def _events(conn: Connection, ids: Sequence[int]) -> dict[int, list[Event]]:
    c = t.retrain_event.c
    made: dict[int, list[Event]] = {}
    if not ids:
        return made
    query = (
        sa.select(c.retrain_id, c.at_ms, c.state, c.actor, c.words)
        .where(c.retrain_id.in_(ids))
        .order_by(c.id)
    )
    for number, *values in conn.execute(query):
        made.setdefault(number, []).append(Event(*values))
    return made


def _retrain(row: sa.Row[Any], events: tuple[Event, ...]) -> Retrain:
    values = dict(row._mapping)
    run = values.pop("run")
    return Retrain(
        **{
            **values,
            "is_dry_run": bool(row.is_dry_run),
            "evidence": json.loads(row.evidence),
            "run": None if run is None else Run(**json.loads(run)),
            "events": events,
        }
    )
