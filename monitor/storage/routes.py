"""The SQL of routes: set, removed, and read where a message is decided."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.message_types import PIPELINE_RECOVERED, RETRAIN_RECOVERED, TYPES
from monitor.detect.routes import Route
from monitor.storage import schema as t
from monitor.storage.engine import take_turns

_ENDS = {name for types in TYPES.values() for name in (types.over, types.gone, types.withdrawn)} | {
    PIPELINE_RECOVERED,
    RETRAIN_RECOVERED,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A route of a model, under its name."""

    id: int
    model: str
    name: str
    route: Route
    created_ms: int


def listed(conn: Connection, model: str | None = None) -> list[Named]:
    """Return routes by model and name."""
    r = t.route.c
    query = (
        sa.select(r.id, t.model.c.name.label("model"), r.name, r.spec, r.created_ms)
        .join(t.model, t.model.c.id == r.model_id)
        .order_by(t.model.c.name, r.name)
    )
    if model is not None:
        query = query.where(t.model.c.name == model)
    return [
        Named(row.id, row.model, row.name, Route.from_json(row.spec), row.created_ms)
        for row in conn.execute(query)
    ]


def put(conn: Connection, model_id: int, name: str, route: Route, *, now_ms: int) -> bool:
    """Set a route of a model under a name; False when it was so before."""
    # An endpoint that is removed at this moment must not be named by what is written here.
    take_turns(conn, "tell")
    r = t.route.c
    this = sa.and_(r.model_id == model_id, r.name == name)
    before = conn.execute(sa.select(r.spec).where(this)).scalar_one_or_none()
    spec = route.to_json()
    if before is None:
        conn.execute(
            sa.insert(t.route).values(model_id=model_id, name=name, spec=spec, created_ms=now_ms)
        )
    elif before != spec:
        conn.execute(sa.update(t.route).where(this).values(spec=spec))
    return before != spec


def remove(conn: Connection, model_id: int, name: str) -> bool:
    """Remove a route; False when there was none."""
    r = t.route.c
    this = sa.and_(r.model_id == model_id, r.name == name)
    return conn.execute(sa.delete(t.route).where(this)).rowcount == 1


def knowing(conn: Connection, alert_id: str) -> set[int]:
    """Return the endpoints that were told of an alert and not of its end."""
    o = t.outbox.c
    query = (
        sa.select(o.endpoint_id, o.type)
        .where(o.alert_id == alert_id, o.state != "cancelled")
        .order_by(o.sequence, o.id)
    )
    last = {row.endpoint_id: row.type for row in conn.execute(query)}
    return {endpoint for endpoint, kind in last.items() if kind not in _ENDS}
