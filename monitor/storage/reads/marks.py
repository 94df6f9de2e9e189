"""One short query that tells whether an answer would still be the same."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


def mark(conn: Connection, *, has_streams: bool = False) -> tuple[int, ...]:
    """Return numbers that change whenever what can be read does.

    What was judged and registered, by default; `has_streams` adds what consumers
    and the dispatcher write, which changes with every checkpoint, heartbeat and attempt.
    """
    asked: list[sa.ColumnElement[int]] = [
        sa.func.max(t.data_version.c.value),
        sa.func.max(t.registry.c.revision),
        # Another database at the same address.
        sa.func.min(t.model.c.created_ms),
    ]
    if has_streams:
        p = t.stream_position.c
        asked += [
            sa.func.count(t.stream.c.id),
            sa.func.count(t.stream.c.ended_ms),
            *(
                sa.func.sum(column)
                for column in (p.next_offset, p.checkpoints, p.fenced, p.claim_epoch, p.fetched_ms)
            ),
            sa.func.max(p.checkpointed_ms),
            sa.func.max(t.data_gap.c.id),
            sa.func.max(t.outbox.c.id),
            sa.func.max(t.delivery_attempt.c.id),
            # Dead letters that were sent again, a breaker that was told to go on.
            sa.func.max(t.audit.c.id),
            sa.func.sum(t.breaker.c.tripped_ms),
            # A replay that began, went on or is over.
            sa.func.sum(t.lane.c.touched_ms),
            sa.func.sum(t.lane_position.c.next_offset),
            *(
                sa.func.count(column)
                for column in (t.endpoint.c.id, t.endpoint.c.disabled_ms, t.endpoint.c.removed_ms)
            ),
        ]
    row = conn.execute(sa.select(*(sa.select(one).scalar_subquery() for one in asked))).one()
    return tuple(-1 if value is None else int(value) for value in row)
