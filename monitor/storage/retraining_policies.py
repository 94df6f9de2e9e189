"""The SQL of retraining policies: one of a model at most, naming the endpoint that trains."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.retraining import Policy
from monitor.storage import schema as t
from monitor.storage.endpoints import Endpoint, endpoint_of
from monitor.storage.engine import take_turns


@dataclass(frozen=True, slots=True)
class Standing:
    """A model's policy with its trainer; `trainer` is None once that was removed."""

    model_id: int
    model: str
    policy: Policy
    trainer: Endpoint | None
    updated_ms: int


def listed(conn: Connection) -> list[Standing]:
    """Return the policies by model."""
    return _found(conn)


def policy_of(conn: Connection, model: str) -> Standing | None:
    """Return a model's policy, if it has one."""
    found = _found(conn, t.model.c.name == model)
    return found[0] if found else None


def named_by(conn: Connection, endpoint_id: int) -> list[str]:
    """Return the models whose retraining an endpoint does."""
    return [one.model for one in _found(conn, t.retraining.c.endpoint_id == endpoint_id)]


def put(conn: Connection, model_id: int, policy: Policy, endpoint_id: int, *, now_ms: int) -> bool:
    """Set a model's policy; False when it was so before."""
    # An endpoint that is removed at this moment must not be named by what is written here.
    take_turns(conn, "tell")
    c = t.retraining.c
    values = {"spec": policy.to_json(), "endpoint_id": endpoint_id}
    before = conn.execute(
        sa.select(c.spec, c.endpoint_id).where(c.model_id == model_id)
    ).one_or_none()
    if before is None:
        conn.execute(sa.insert(t.retraining).values(model_id=model_id, updated_ms=now_ms, **values))
        return True
    if tuple(before) == tuple(values.values()):
        return False
    conn.execute(
        sa.update(t.retraining).where(c.model_id == model_id).values(updated_ms=now_ms, **values)
    )
    return True


def remove(conn: Connection, model_id: int) -> bool:
    """Remove a model's policy; False when there was none. What was asked for goes on."""
    this = sa.delete(t.retraining).where(t.retraining.c.model_id == model_id)
    return conn.execute(this).rowcount == 1


def _found(conn: Connection, *where: sa.ColumnElement[bool]) -> list[Standing]:
    r = t.retraining.c
    query = (
        sa.select(r.model_id, t.model.c.name, r.spec, r.endpoint_id, r.updated_ms)
        .join(t.model, t.model.c.id == r.model_id)
        .where(*where)
        .order_by(t.model.c.name)
    )
    rows = conn.execute(query).all()
    if not rows:
        return []
    ids = {row.endpoint_id for row in rows}
    standing = sa.select(t.endpoint).where(
        t.endpoint.c.id.in_(ids), t.endpoint.c.removed_ms.is_(None)
    )
    trainers = {row.id: endpoint_of(row) for row in conn.execute(standing)}
    return [
        Standing(
            row.model_id,
            row.name,
            Policy.from_json(row.spec),
            trainers.get(row.endpoint_id),
            row.updated_ms,
        )
        for row in rows
    ]
