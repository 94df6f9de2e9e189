"""Sending what the outbox holds: who may send a message now, and what became of it.

Whoever claims a message by compare-and-swap holds it until the lease ends; what it did is
written under the same condition. A message that was sent but not recorded is sent again with
the same id and body, never lost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.knowledge import OPEN
from monitor.storage import schema as t
from monitor.storage.endpoints import IS_ENABLED, Endpoint, endpoint_of
from monitor.storage.outbox import Message

TEST_TYPE = "endpoint.test"
# What a message is when nobody sends it any more.
FINISHED: Final = ("delivered", "cancelled", "dead")
# No lease and no wait is longer: what ends later was written by a clock that ran ahead. Twice
# the lease, because clocks of several machines differ; a day with its jitter (2.4 h) and more.
_LONGEST_LEASE_MS: Final = 120_000
_LONGEST_WAIT_MS: Final = 27 * 3_600_000
# Quiet hours are a part of a day; in the night in which clocks go back, an hour more.
_LONGEST_QUIET_MS: Final = 25 * 3_600_000


class Due(NamedTuple):
    """A message that may be sent now, if nobody is faster."""

    outbox_id: int
    endpoint_id: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this process alone may send until the lease ends.

    `number` counts all its attempts from 1, `number_of_round` those since it was last asked for.
    """

    outbox_id: int
    endpoint: Endpoint
    message: Message
    number: int
    owner: str
    lease_until_ms: int
    number_of_round: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a message was sent, and what came back."""

    number: int
    at_ms: int
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


def due(conn: Connection, now_ms: int, *, busy: Collection[int] = (), limit: int = 20) -> list[Due]:
    """Return messages that may be sent now, those that wait longest first.

    One whose alert has an earlier message for the same endpoint that is still pending, or being
    sent, waits for that one. `busy` are endpoints that have enough in flight. A clock that was
    put back holds up nothing: what was never tried is due, and no wait is longer than any could
    have been given.
    """
    o = t.outbox
    query = (
        sa.select(o.c.id, o.c.endpoint_id)
        .where(_may_be_sent(o, now_ms))
        .order_by(o.c.due_ms, o.c.id)
        .limit(limit)
    )
    if busy:
        query = query.where(o.c.endpoint_id.not_in(sorted(busy)))
    return [Due(*row) for row in conn.execute(query)]


def claim(
    conn: Connection, outbox_id: int, owner: str, now_ms: int, lease_until_ms: int
) -> Claim | None:
    """Take a message to send it; None when another was faster, or it may not be sent any more.

    The attempt is counted now: one that ends this process must not be the first for ever.
    """
    o = t.outbox
    taken = conn.execute(
        sa.update(o)
        .where(o.c.id == outbox_id, _may_be_sent(o, now_ms))
        .values(leased_by=owner, lease_until_ms=lease_until_ms, attempts=o.c.attempts + 1)
    )
    if taken.rowcount != 1:
        return None
    row = conn.execute(sa.select(o).where(o.c.id == outbox_id)).one()
    endpoint = conn.execute(sa.select(t.endpoint).where(t.endpoint.c.id == row.endpoint_id)).one()
    return Claim(
        outbox_id=outbox_id,
        endpoint=endpoint_of(endpoint),
        message=Message(row.webhook_id, row.alert_id, row.sequence, row.type, row.body),
        number=row.attempts,
        owner=owner,
        lease_until_ms=lease_until_ms,
        number_of_round=row.attempts - row.tried_before,
    )


def _may_be_sent(o: sa.Table, now_ms: int) -> sa.ColumnElement[bool]:
    earlier = t.outbox.alias("earlier")
    return sa.and_(
        o.c.state == "pending",
        sa.or_(
            o.c.attempts == o.c.tried_before,
            o.c.due_ms <= now_ms,
            o.c.due_ms > now_ms + _LONGEST_WAIT_MS,
        ),
        sa.or_(
            o.c.not_before_ms.is_(None),
            o.c.not_before_ms <= now_ms,
            o.c.not_before_ms > now_ms + _LONGEST_QUIET_MS,
        ),
        sa.or_(o.c.lease_until_ms.is_(None), ~_is_leased(o, now_ms)),
        sa.select(t.endpoint.c.id).where(t.endpoint.c.id == o.c.endpoint_id, IS_ENABLED).exists(),
        ~sa.select(earlier.c.id)
        .where(
            earlier.c.endpoint_id == o.c.endpoint_id,
            earlier.c.alert_id == o.c.alert_id,
            earlier.c.sequence <= o.c.sequence,
            # What adds nothing to the alert has the sequence of what it follows.
            sa.or_(earlier.c.sequence < o.c.sequence, earlier.c.id < o.c.id),
            sa.or_(earlier.c.state == "pending", _is_leased(earlier, now_ms)),
        )
        .exists(),
    )


def _is_leased(o: sa.FromClause, now_ms: int) -> sa.ColumnElement[bool]:
    until_ms = o.c.lease_until_ms
    return sa.and_(until_ms > now_ms, until_ms <= now_ms + _LONGEST_LEASE_MS)


def record(
    conn: Connection, held: Claim, attempt: Attempt, state: str, *, due_ms: int | None
) -> bool:
    """Write what became of a claimed message: delivered, dead, or pending and due again.

    What was delivered is delivered, whoever holds the message by now. False when a failure
    comes too late to count: another has the message, or nobody needs it any more.
    """
    o = t.outbox.c
    is_there = sa.select(o.id).where(o.id == held.outbox_id).with_for_update()
    if conn.execute(is_there).one_or_none() is None:
        return False  # it expired while this process stood still
    conn.execute(
        sa.insert(t.delivery_attempt).values(
            outbox_id=held.outbox_id,
            number=attempt.number,
            at_ms=attempt.at_ms,
            duration_ms=attempt.duration_ms,
            status=attempt.status,
            error=attempt.error,
            response=attempt.response,
        )
    )
    free = {"leased_by": None, "lease_until_ms": None}
    values: dict[str, Any] = {"state": state, **free}
    if state == "pending":
        values["due_ms"] = due_ms
    else:
        values["finished_ms"] = attempt.at_ms + attempt.duration_ms
    this = sa.update(t.outbox).where(o.id == held.outbox_id)
    if state == "delivered":
        return conn.execute(this.where(o.state != "delivered").values(**values)).rowcount == 1
    mine = this.where(o.leased_by == held.owner, o.attempts == held.number)
    if conn.execute(mine.where(o.state == "pending").values(**values)).rowcount == 1:
        return True
    # Cancelled meanwhile: what follows it need not wait any longer.
    conn.execute(mine.values(**free))
    return False


def bury(conn: Connection, endpoint_id: int, now_ms: int) -> int:
    """Give up what waits for an endpoint; return how many messages that was."""
    o = t.outbox.c
    done = conn.execute(
        sa.update(t.outbox)
        .where(o.endpoint_id == endpoint_id, o.state == "pending")
        .values(state="dead", finished_ms=now_ms, leased_by=None, lease_until_ms=None)
    )
    return done.rowcount


def forget(conn: Connection, state: str, before_ms: int, limit: int) -> int:
    """Delete messages that ended in a state before some time, with their attempts.

    The oldest first, `limit` at most; return how many that was. One that another process is at
    is left to it, and one of an alert that is open is kept: it says who was told.
    """
    o, a = t.outbox.c, t.delivery_attempt.c
    is_open = (
        sa.select(t.alert.c.id)
        .where(t.alert.c.alert_id == o.alert_id, t.alert.c.state == OPEN)
        .exists()
    )
    query = (
        sa.select(o.id)
        .where(o.state == state, o.finished_ms < before_ms, ~is_open)
        .order_by(o.finished_ms)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.execute(query).scalars())
    if ids:
        conn.execute(sa.delete(t.delivery_attempt).where(a.outbox_id.in_(ids)))
        conn.execute(sa.delete(t.outbox).where(o.id.in_(ids)))
    return len(ids)
