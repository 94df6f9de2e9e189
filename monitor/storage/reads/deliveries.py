"""What was sent, what waits, and what was given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.deliveries import TEST_TYPE, Attempt


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages by what became of them; `failed` ones were given up. Tests do not count."""

    delivered: int = 0
    failed: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one endpoint; `due_ms` while it is pending."""

    id: int
    endpoint: str
    webhook_id: str
    alert_id: str | None
    sequence: int
    type: str
    state: str
    attempts: int
    created_ms: int
    due_ms: int | None
    finished_ms: int | None


def tally(conn: Connection) -> Tally:
    """Return how many messages were delivered, given up, or wait."""
    return sum_of(tallies_by_endpoint(conn).values())


def sum_of(parts: Any) -> Tally:
    """Return tallies added up."""
    listed = list(parts)
    return Tally(
        sum(p.delivered for p in listed),
        sum(p.failed for p in listed),
        sum(p.pending for p in listed),
    )


def tallies_by_endpoint(conn: Connection) -> dict[int, Tally]:
    """Return the same by the endpoint's id; removed ones are among them."""
    o = t.outbox.c
    query = (
        sa.select(o.endpoint_id, o.state, sa.func.count())
        .where(o.type != TEST_TYPE)
        .group_by(o.endpoint_id, o.state)
    )
    found: dict[int, dict[str, int]] = {}
    for endpoint_id, state, n in conn.execute(query):
        found.setdefault(endpoint_id, {})[state] = int(n)
    return {
        endpoint_id: Tally(by.get("delivered", 0), by.get("dead", 0), by.get("pending", 0))
        for endpoint_id, by in found.items()
    }


def disabled_endpoints(conn: Connection) -> list[tuple[str, str]]:
    """Return (name, why) of the endpoints that nothing is sent to."""
    e = t.endpoint.c
    query = (
        sa.select(e.name, e.disabled_reason)
        .where(e.removed_ms.is_(None), e.disabled_ms.is_not(None))
        .order_by(e.name)
    )
    return [(name, why or "") for name, why in conn.execute(query)]


def deliveries(
    conn: Connection,
    *,
    endpoint: str | None = None,
    state: str | None = None,
    alert_id: str | None = None,
    delivery_id: int | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Delivery]:
    """Return messages, the last written first; `before` (an id) continues a page."""
    o = t.outbox.c
    query = (
        sa.select(t.outbox, t.endpoint.c.name.label("endpoint"))
        .join(t.endpoint, t.endpoint.c.id == o.endpoint_id)
        .order_by(o.id.desc())
        .limit(limit)
    )
    wanted: dict[sa.ColumnElement[Any], Any] = {
        t.endpoint.c.name: endpoint, o.state: state, o.alert_id: alert_id, o.id: delivery_id,
    }  # fmt: skip
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(o.id < before)
    return [_delivery(row) for row in conn.execute(query)]


def attempts_of(conn: Connection, delivery_ids: Sequence[int]) -> dict[int, list[Attempt]]:
    """Return the attempts that were recorded of messages, by message, the first first."""
    a = t.delivery_attempt.c
    query = (
        sa.select(a.outbox_id, a.number, a.at_ms, a.duration_ms, a.status, a.error, a.response)
        .where(a.outbox_id.in_(delivery_ids))
        .order_by(a.outbox_id, a.id)
    )
    found: dict[int, list[Attempt]] = {each: [] for each in delivery_ids}
    for outbox_id, *row in conn.execute(query):
        found[outbox_id].append(Attempt(*row))
    return found


def last_attempt(conn: Connection, endpoint_id: int) -> Attempt | None:
    """Return the last recorded attempt at an endpoint."""
    a = t.delivery_attempt.c
    query = (
        sa.select(a.number, a.at_ms, a.duration_ms, a.status, a.error, a.response)
        .join(t.outbox, t.outbox.c.id == a.outbox_id)
        .where(t.outbox.c.endpoint_id == endpoint_id)
        .order_by(a.id.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else Attempt(*row)


def body_of(conn: Connection, delivery_id: int) -> str:
    """Return the body of a message, as it is sent."""
    query = sa.select(t.outbox.c.body).where(t.outbox.c.id == delivery_id)
    return str(conn.execute(query).scalar_one())


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        endpoint=row.endpoint,
        webhook_id=row.webhook_id,
        alert_id=row.alert_id,
        sequence=row.sequence,
        type=row.type,
        state=row.state,
        attempts=row.attempts,
        created_ms=row.created_ms,
        due_ms=row.due_ms if row.state == "pending" else None,
        finished_ms=row.finished_ms,
    )
