"""The outbox: what is to be sent, written in the transaction that decided it.

A row is one message for one endpoint, its body frozen. It leaves `pending` once, for
delivered, dead or cancelled; until then it is sent again whenever it is due and nobody
holds its lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.retraining import TRAINS_ONLY
from monitor.storage import schema as t
from monitor.storage.endpoints import IS_ENABLED, IS_STANDING
from monitor.storage.engine import take_turns


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver gets; `body` is sent byte for byte as it is, however often.

    `webhook_id` is the same for the same message for ever, so that a receiver can go by it.
    `alert_id` and `sequence` order the messages of one alert; None and 0 where there is none.
    """

    webhook_id: str
    alert_id: str | None
    sequence: int
    type: str
    body: str


def enqueue(
    conn: Connection,
    message: Message,
    now_ms: int,
    *,
    to: Mapping[int, int | None] | None = None,
) -> int:
    """Write `message` for every enabled endpoint that takes alerts; return for how many it is new.

    `to` names those that it is for, by id, each with the instant until which it is left in peace;
    what is not held lets go what waits there of the same alert.

    A disabled one for which an earlier message of the alert waits gets what follows, too: once
    it is enabled, it must not believe for ever that the alert is open. A message that an
    endpoint has already, sent or not, changes nothing there. Call it in the transaction that
    decides the message; until that ends, no endpoint is disabled or removed.
    """
    o = t.outbox.c
    waits = (
        sa.select(o.id)
        .where(
            o.endpoint_id == t.endpoint.c.id,
            o.alert_id == message.alert_id,
            o.state == "pending",
        )
        .exists()
    )
    takes_alerts = t.endpoint.c.kind.not_in(TRAINS_ONLY)
    may_have = sa.and_(takes_alerts, sa.or_(IS_ENABLED, sa.and_(IS_STANDING, waits)))
    if to is None:
        return _write(conn, message, now_ms, may_have)
    count = 0
    for endpoint_id, until_ms in sorted(to.items()):
        is_this = sa.and_(may_have, t.endpoint.c.id == endpoint_id)
        count += _write(conn, message, now_ms, is_this, until_ms)
        if until_ms is None and message.alert_id is not None:
            conn.execute(
                sa.update(t.outbox)
                .where(
                    o.endpoint_id == endpoint_id,
                    o.alert_id == message.alert_id,
                    o.state == "pending",
                    o.not_before_ms.is_not(None),
                )
                .values(not_before_ms=None)
            )
    return count


def enqueue_for(conn: Connection, endpoint_id: int, message: Message, now_ms: int) -> bool:
    """Write `message` for one endpoint alone; False when it is not enabled or has it already."""
    is_this = sa.and_(IS_ENABLED, t.endpoint.c.id == endpoint_id)
    return _write(conn, message, now_ms, is_this) == 1


def cancel_superseded(conn: Connection, versions: sa.Select[tuple[int]], now_ms: int) -> int:
    """Cancel what waits of the alerts of versions but the last message of each; return how much.

    What is being sent at this moment keeps its lease: the last message waits until it ends.
    """
    o, a = t.outbox.c, t.alert.c
    is_superseded = (
        sa.select(a.id)
        .where(a.alert_id == o.alert_id, a.version_id.in_(versions), a.sequence > o.sequence)
        .exists()
    )
    done = conn.execute(
        sa.update(t.outbox)
        .where(o.state == "pending", is_superseded)
        .values(state="cancelled", finished_ms=now_ms)
    )
    return done.rowcount


def cancel(conn: Connection, webhook_id: str, now_ms: int) -> bool:
    """Cancel a message that waits; False when none does. One under way keeps its lease."""
    o = t.outbox.c
    done = conn.execute(
        sa.update(t.outbox)
        .where(o.webhook_id == webhook_id, o.state == "pending")
        .values(state="cancelled", finished_ms=now_ms)
    )
    return done.rowcount > 0


def number_of(conn: Connection, endpoint_id: int, webhook_id: str) -> int:
    """Return the number of an endpoint's message."""
    o = t.outbox.c
    query = sa.select(o.id).where(o.endpoint_id == endpoint_id, o.webhook_id == webhook_id)
    return int(conn.execute(query).scalar_one())


def _write(
    conn: Connection,
    message: Message,
    now_ms: int,
    to: sa.ColumnElement[bool],
    not_before_ms: int | None = None,
) -> int:
    o = t.outbox.c
    has_it = (
        sa.select(o.id)
        .where(o.endpoint_id == t.endpoint.c.id, o.webhook_id == message.webhook_id)
        .exists()
    )
    values = {
        o.webhook_id: message.webhook_id,
        o.alert_id: message.alert_id,
        o.sequence: message.sequence,
        o.type: message.type,
        o.body: message.body,
        o.created_ms: now_ms,
        o.state: "pending",
        o.due_ms: now_ms,
        o.not_before_ms: not_before_ms,
    }
    rows = (
        sa.select(
            t.endpoint.c.id,
            *(sa.literal(value, column.type) for column, value in values.items()),
        )
        .where(to, ~has_it)
        .order_by(t.endpoint.c.id)
    )
    take_turns(conn, "tell")
    written = sa.insert(t.outbox).from_select(
        [o.endpoint_id, *values], rows, include_defaults=False
    )
    # Without it SQLAlchemy forgets how many rows an INSERT wrote on PostgreSQL.
    return conn.execute(written, execution_options={"preserve_rowcount": True}).rowcount
