"""Messages that are asked for again: one, or all that a filter names.

The message is the same: its id, its body, its place among those of its alert. A receiver that
has it already does nothing; one that lost it, or was mended after it was given up, has it then.
Its attempts go on counting, its schedule begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.retrain_messages import REQUESTED, webhook_id_of
from monitor.storage import schema as t
from monitor.storage.deliveries import TEST_TYPE
from monitor.storage.endpoints import IS_STANDING
from monitor.storage.engine import take_turns

# One transaction asks for so many at most: more are asked for by asking again.
AT_ONCE: Final = 1_000
State = Literal["dead", "delivered"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages; what is None does not matter.

    Attributes
    ----------
    state
        dead (given up) or delivered.
    first_id, last_id
        A range of deliveries by number, both included.
    from_ms, to_ms
        When they were decided, `[from, to)`.
    """

    state: State = "dead"
    endpoint: str | None = None
    alert_id: str | None = None
    type: str | None = None
    first_id: int | None = None
    last_id: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing but the state is named."""
        named = (self.endpoint, self.alert_id, self.type, self.first_id, self.last_id,
                 self.from_ms, self.to_ms)  # fmt: skip
        return all(one is None for one in named)


def matching(conn: Connection, wanted: Wanted, limit: int = AT_ONCE) -> list[int]:
    """Return the numbers of the messages that `again` would take, the first decided first."""
    return list(conn.execute(_query(wanted).limit(limit)).scalars())


def again(conn: Connection, wanted: Wanted, *, now_ms: int, limit: int = AT_ONCE) -> list[int]:
    """Let messages be sent again from now on; return their numbers, the first decided first.

    Tests, what was cancelled, what went to a removed endpoint and what was given up of requests for
    a retraining that are over are left as they are. Those of a disabled endpoint wait until it
    is enabled. Of one alert, they go out in their order, and what is decided meanwhile waits for
    them.
    """
    # An endpoint that is removed at this moment cancels what waits: before this, or after it.
    take_turns(conn, "tell")
    query = _query(wanted).limit(limit).with_for_update(of=t.outbox)
    ids: list[int] = list(conn.execute(query).scalars())
    _write(conn, ids, now_ms)
    return ids


def hurry(conn: Connection, delivery_id: int, *, now_ms: int) -> bool:
    """Let a message that waits be tried now; False when it does not wait, or is being sent."""
    o = t.outbox.c
    done = conn.execute(
        sa.update(t.outbox)
        .where(
            o.id == delivery_id,
            o.state == "pending",
            sa.or_(o.lease_until_ms.is_(None), o.lease_until_ms <= now_ms),
        )
        .values(due_ms=now_ms, not_before_ms=None)
    )
    return done.rowcount == 1


def _query(wanted: Wanted) -> sa.Select[Any]:
    o = t.outbox.c
    query = (
        sa.select(o.id)
        .join(t.endpoint, t.endpoint.c.id == o.endpoint_id)
        .where(o.state == wanted.state, o.type != TEST_TYPE, IS_STANDING)
        .order_by(o.id)
    )
    if wanted.state == "dead":
        # A request that nobody took has failed: a training that began now could report to nobody.
        r = t.retrain.c
        waits = sa.select(r.id).where(
            o.webhook_id == sa.literal(webhook_id_of("")).concat(r.key), r.ended_ms.is_(None)
        )
        query = query.where(sa.or_(o.type != REQUESTED, waits.exists()))
    for column, value in (
        (t.endpoint.c.name, wanted.endpoint),
        (o.alert_id, wanted.alert_id),
        (o.type, wanted.type),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.first_id is not None:
        query = query.where(o.id >= wanted.first_id)
    if wanted.last_id is not None:
        query = query.where(o.id <= wanted.last_id)
    if wanted.from_ms is not None:
        query = query.where(o.created_ms >= wanted.from_ms)
    if wanted.to_ms is not None:
        query = query.where(o.created_ms < wanted.to_ms)
    return query


def _write(conn: Connection, ids: Sequence[int], now_ms: int) -> None:
    if not ids:
        return
    o = t.outbox.c
    conn.execute(
        sa.update(t.outbox)
        .where(o.id.in_(ids))
        .values(
            state="pending",
            due_ms=now_ms,
            tried_before=o.attempts,
            finished_ms=None,
            leased_by=None,
            lease_until_ms=None,
            not_before_ms=None,
        )
    )
