"""Endpoints that nothing arrives at for days: counted at each attempt, switched off in the end.

A message is tried for three days and given up; an endpoint where all of them are given up is
none any more. Whoever goes by this holds no message yet: ending an endpoint takes turns with
whoever writes messages, see `monitor.storage.endpoints`.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.endpoints import IS_ENABLED

DAY_MS: Final = 86_400_000
# A long weekend and a day: what is down longer is not being mended.
DAYS: Final = 5
# As many as one message has: two attempts five days apart show nothing of the time between.
ATTEMPTS: Final = 10


def is_lost(conn: Connection, endpoint_id: int, at_ms: int) -> bool:
    """Whether one more failure at `at_ms` is one too many."""
    e = t.endpoint.c
    query = sa.select(e.failing_since_ms, e.failures).where(e.id == endpoint_id, IS_ENABLED)
    row = conn.execute(query).one_or_none()
    if row is None or row.failing_since_ms is None:
        return False
    is_long = at_ms - row.failing_since_ms >= DAYS * DAY_MS
    return bool(is_long and row.failures + 1 >= ATTEMPTS)


def note(conn: Connection, endpoint_id: int, at_ms: int, *, arrived: bool) -> None:
    """Count an attempt: one that arrived ends the time in which nothing did."""
    e = t.endpoint.c
    this = sa.update(t.endpoint).where(e.id == endpoint_id)
    if arrived:
        conn.execute(this.where(e.failures > 0).values(failing_since_ms=None, failures=0))
        return
    # Of a clock that was put back, the earlier instant is the true one.
    since = sa.case(
        (sa.or_(e.failing_since_ms.is_(None), e.failing_since_ms > at_ms), at_ms),
        else_=e.failing_since_ms,
    )
    conn.execute(this.values(failing_since_ms=since, failures=e.failures + 1))
