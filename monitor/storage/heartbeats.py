"""Which roles run: each leaves a row that it renews, and takes it away when it ends in order.

The rows are for those who ask (`health`, `doctor`). No role decides anything by another's: who
may work is said by claims and leases alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t

BEAT_S: Final = 5.0
# A beat waits for SQLite's lock as long as any write may (30 s), and comes every 5 s.
DEAD_AFTER_MS: Final = 45_000
# The longest that an evaluator rightly says nothing is one stride: three weeks of one version,
# 528 windows. A thousand features in ten segments are 5 million findings, at about 5,000 a second
# some 20 minutes; this is three times that. An hour is also the shortest window: whoever stands
# still for less has missed no more than one.
STANDS_STILL_MS: Final = 3_600_000
# What a killed process left tells for so long when it was last seen.
KEPT_MS: Final = 24 * 3_600_000


@dataclass(frozen=True)
class Beat:
    """One process of a role.

    Attributes
    ----------
    instance
        ``HOST:PID:RANDOM``, of one start.
    started_ms, beat_ms
        When it started and when it was last seen, epoch milliseconds by its own clock.
    version
        Of Driftline, as it runs there.
    moved_ms
        When its work last went on: a loop that came round, a stride that was written. None where
        a role does not say.
    """

    role: str
    instance: str
    started_ms: int
    beat_ms: int
    version: str
    moved_ms: int | None = None

    @property
    def host(self) -> str:
        """The machine, or the container, that it runs on."""
        return self.instance.rsplit(":", 2)[0]

    def is_alive(self, now_ms: int) -> bool:
        """Whether it was seen lately."""
        return now_ms - self.beat_ms <= DEAD_AFTER_MS

    def stands_still(self, now_ms: int) -> bool:
        """Whether it lives and its work does not go on."""
        return (
            self.is_alive(now_ms)
            and self.moved_ms is not None
            and now_ms - self.moved_ms > STANDS_STILL_MS
        )


def write(conn: Connection, beat: Beat) -> None:
    """Write a process's first row or renew it; the first one clears the role's old ones away."""
    c = t.heartbeat.c
    of_it = (c.role == beat.role) & (c.instance == beat.instance)
    done = conn.execute(
        sa.update(t.heartbeat).where(of_it).values(beat_ms=beat.beat_ms, moved_ms=beat.moved_ms)
    )
    if done.rowcount:
        return
    conn.execute(
        sa.delete(t.heartbeat).where((c.role == beat.role) & (c.beat_ms < beat.beat_ms - KEPT_MS))
    )
    conn.execute(
        sa.insert(t.heartbeat).values(
            role=beat.role, instance=beat.instance, started_ms=beat.started_ms,
            beat_ms=beat.beat_ms, version=beat.version, moved_ms=beat.moved_ms,
        )
    )  # fmt: skip


def remove(conn: Connection, role: str, instance: str) -> None:
    """Take a process's row away: it ends in order."""
    c = t.heartbeat.c
    conn.execute(sa.delete(t.heartbeat).where((c.role == role) & (c.instance == instance)))


def of_role(conn: Connection, role: str) -> list[Beat]:
    """Return the role's processes, those last that were seen last."""
    c = t.heartbeat.c
    rows = conn.execute(sa.select(t.heartbeat).where(c.role == role).order_by(c.beat_ms)).all()
    return [Beat(r.role, r.instance, r.started_ms, r.beat_ms, r.version, r.moved_ms) for r in rows]
